"""A policy over HTTP: observations in, actions out, and errors that say what is wrong."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from structlog.testing import capture_logs

from generals_engine.trained.network import TrainedNetwork, load_network
from generals_engine.trained.serving import PolicyServer
from generals_runtime.health import PortTaken
from generals_runtime.published_policies import PolicyError
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef


def model(channels: int = 9, **said: str) -> bytes:
    """Values that depend on the armies' channel alone: a move from the largest army, down, is the best one.

    planes [B, C, H, W] -> [B, 8 * HW + 1] as armies repeated for each direction, plus 0.001 for `down`.
    """
    weight = np.zeros((8, channels, 1, 1), np.float32)
    weight[:, 0] = 1.0
    bias = np.zeros(8, np.float32)
    bias[1] = 0.001
    nodes = [
        helper.make_node("Conv", ["planes", "weight", "bias"], ["moves"]),
        helper.make_node("Transpose", ["moves"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Slice", ["turned", "zero", "four", "last"], ["whole"]),
        helper.make_node("Slice", ["turned", "four", "eight", "last"], ["half"]),
        helper.make_node("Flatten", ["whole"], ["flat"]),
        helper.make_node("Flatten", ["half"], ["halves"]),
        helper.make_node("ReduceMin", ["flat"], ["passing"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["flat", "halves", "passing"], ["values"], axis=1),
    ]
    constants = {"zero": [0], "four": [4], "eight": [8], "last": [3]}
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["B", channels, "H", "W"])],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["B", "A"])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(bias, "bias"),
            *(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()),
        ],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for name, value in {"encoding": "nine_planes", **said}.items():
        made.metadata_props.add(key=name, value=value)
    onnx.checker.check_model(made)
    serialised: bytes = made.SerializeToString()
    return serialised


OBSERVATION = {
    "width": 3,
    "height": 3,
    "armies": [0, 0, 0, 5, 900, 0, 0, 0, 2],
    "planes": {"own": [3, 4, 8], "mountain": [7]},
}
# . . .      own 5, 900 and 2; a mountain below the 900:
# 5 9 .      so the best legal move is the 900's, anywhere but down
# . # 2


@pytest.fixture
def network() -> TrainedNetwork:
    return load_network(model(), PolicyRef("test", 7))


@pytest.fixture
def server(network: TrainedNetwork) -> Iterator[PolicyServer]:
    made = PolicyServer(lambda: network, host="127.0.0.1", port=0)
    yield made
    made.close()


def post(server: PolicyServer, value: Any) -> tuple[int, Any]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/act", body)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_best_legal_move_is_answered_with_its_value(server: PolicyServer) -> None:
    status, answer = post(server, OBSERVATION)
    assert status == 200
    assert answer["policy"] == "test@7"
    (found,) = answer["actions"]
    assert (found["x"], found["y"]) == (1, 1)
    assert found["direction"] != 1
    assert found["value"] == pytest.approx(0.9, abs=1e-5)


def test_it_says_what_it_takes_before_it_is_asked(server: PolicyServer) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/act", timeout=20) as answer:
        said = json.load(answer)
    assert said == {"policy": "test@7", "encoding": "nine_planes", "encoding_params": {"army_scale": 1000.0}}
    _, answered = post(server, OBSERVATION)
    assert {name: answered[name] for name in said} == said, "each answer says it, too"


def test_a_port_that_is_taken_is_named(server: PolicyServer) -> None:
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{server.port}.*--port"):
        PolicyServer(lambda: None, host="127.0.0.1", port=server.port)


def test_tiles_of_team_mates_are_not_moved_where_it_is_said_which_are_the_players_own(server: PolicyServer) -> None:
    _, answer = post(server, {**OBSERVATION, "planes": {"own": [3, 4, 8], "mine": [3, 8], "mountain": [7]}})
    (found,) = answer["actions"]
    assert (found["x"], found["y"]) == (0, 1), "the 900 is a team-mate's"


def test_many_are_answered_at_once(server: PolicyServer) -> None:
    nothing = {"width": 2, "height": 2, "armies": [0, 0, 0, 0]}
    _, answer = post(server, [OBSERVATION, nothing])
    assert [found["action"] for found in answer["actions"]] == [answer["actions"][0]["action"], 32]
    assert "x" not in answer["actions"][1], "nothing can be moved: a pass"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"{", "Expecting property name"),
        ({"width": 99, "height": 2, "armies": []}, "width is 99, must be 1 … 64"),
        ({"width": 2, "height": 2, "armies": [1]}, "armies has 1 numbers, a board of 2 x 2 has 4"),
        ({**OBSERVATION, "planes": {"lakes": [1]}}, "plane 'lakes' is unknown"),
        ({**OBSERVATION, "planes": {"own": [9]}}, "planes.own must be a list of whole numbers, 0 … 8"),
        ({**OBSERVATION, "scalars": {"tick": 1}}, "scalar 'tick'"),
        ([], "0 observations"),
        (["x"], "an observation is a JSON object"),
        pytest.param(b'{"width": ' + b"9" * 5000 + b"}", "the body is not JSON", id="5,000 digits"),
        pytest.param(b"[" * 200_000, "nested too deep", id="200,000 brackets"),
        (b'{"width": "\xff"}', "the body is not JSON"),
    ],
)
def test_what_is_wrong_is_said(server: PolicyServer, wrong: Any, message: str) -> None:
    status, answer = post(server, wrong)
    assert status == 400
    assert message in answer["error"]
    assert b'generals_served_requests_total{status="400"} 1.0' in server.get("/metrics").body


@pytest.mark.parametrize("tick", ["NaN", "-Infinity", "1e999", "1e39", "9" * 400, '"1"', "null"])
def test_a_scalar_that_is_no_finite_number_is_refused(tick: str) -> None:
    encoding = get_encoding("memory")
    network = load_network(model(len(encoding.channels), encoding="memory"), PolicyRef("test", 7))
    server = PolicyServer(lambda: network, host="127.0.0.1", port=0)
    observation = json.dumps({**OBSERVATION, "scalars": {"tick": "here"}})
    status, answer = post(server, observation.replace('"here"', tick).encode())
    assert (status, answer["error"]) == (400, "scalars.tick must be a finite number that fits a float32")
    assert post(server, observation.replace('"here"', "0.5").encode())[0] == 200
    server.close()


class Broken:
    """A session that answers with these values; None: not at all."""

    def __init__(self, value: float | None) -> None:
        self._value = value

    def run(self, names: Any, inputs: Any) -> Any:
        if self._value is None:
            raise RuntimeError("out of memory")
        return [np.full((1, 73), self._value, np.float32)]


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
def test_what_nobody_foresaw_is_answered_logged_and_counted(network: TrainedNetwork, value: float | None) -> None:
    broken = replace(network, session=Broken(value))
    server = PolicyServer(lambda: broken, host="127.0.0.1", port=0)
    with capture_logs() as logs:
        status, answer = post(server, OBSERVATION)
    assert status == 500
    assert "log says why" in answer["error"]
    assert [(entry["event"], entry["exc_info"]) for entry in logs] == [("a request could not be answered", True)]
    assert b'generals_served_requests_total{status="500"} 1.0' in server.get("/metrics").body
    server.close()


@pytest.mark.parametrize(("said", "status"), [("-1", 400), ("much", 400), (str(10**9), 413), ("9" * 5000, 413)])
def test_a_body_without_a_bound_is_not_read(server: PolicyServer, said: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("POST", "/act")
    connection.putheader("Content-Length", said)
    connection.endheaders()
    connection.sock.sendall(b"{" * 1000)  # and no end
    assert connection.getresponse().status == status
    connection.close()


def test_before_the_first_version_it_is_live_but_not_ready() -> None:
    server = PolicyServer(lambda: None, host="127.0.0.1", port=0)
    assert [server.get(path).status for path in ("/live", "/ready", "/metrics", "/else")] == [200, 503, 200, 404]
    assert post(server, OBSERVATION)[0] == 503
    assert b'generals_served_requests_total{status="503"} 1.0' in server.get("/metrics").body
    server.close()


def test_a_model_that_does_not_fit_its_encoding_is_refused() -> None:
    with pytest.raises(PolicyError, match="takes 4 channels, its encoding nine_planes has 9"):
        load_network(model(channels=4), PolicyRef("odd", 1))
    with pytest.raises(PolicyError, match="odd@2 cannot be loaded"):
        load_network(b"not a model", PolicyRef("odd", 2))
    with pytest.raises(PolicyError, match="cannot be loaded"):
        load_network(model(encoding="nobody's"), PolicyRef("odd", 3))


def test_a_policy_trained_without_splits_plays_none(network: TrainedNetwork) -> None:
    without = load_network(model(split_moves="false", trainer_steps="12"), PolicyRef("test", 8))
    assert (without.split_moves, without.trainer_steps, network.split_moves) == (False, 12, True)
