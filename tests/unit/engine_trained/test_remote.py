"""A policy behind HTTP plays as it does at home; a server that is away costs passes, one that refuses says why."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from prometheus_client import CollectorRegistry

from generals_engine.arena import find_player, trained
from generals_engine.deadline import punctual
from generals_engine.games import GamePool, Played
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Policy, UnknownPolicy, find_policy
from generals_engine.trained.network import TrainedNetwork, load_network
from generals_engine.trained.serving import PolicyServer
from generals_runtime.metrics import Metrics
from generals_runtime.published_policies import PolicyDirectory
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef
from generals_trainer.network import QNetwork
from generals_trainer.onnx_export import OnnxExport

REF = PolicyRef("dqn", 12)
PASS = 8 * 9 * 9


def made(name: str, **params: float) -> bytes:
    """A network's file, trained on an encoding with these parameters."""
    torch.manual_seed(1)
    encoding = get_encoding(name)
    network = QNetwork(encoding, width=4, blocks=1)
    torch.nn.init.normal_(network.moves.weight)  # which begins at zero: all moves would be worth the same
    said = {"encoding": name, "encoding_params": json.dumps(params)}
    return OnnxExport(len(encoding.channels)).make(network, said)


@pytest.fixture(scope="module")
def artefact() -> bytes:
    return made("nine_planes")


@pytest.fixture
def network(artefact: bytes) -> TrainedNetwork:
    return load_network(artefact, REF)


@contextmanager
def serving(current: Callable[[], TrainedNetwork | None]) -> Iterator[PolicyServer]:
    server = PolicyServer(current, host="127.0.0.1", port=0)
    yield server
    server.close()


@pytest.fixture
def server(network: TrainedNetwork) -> Iterator[PolicyServer]:
    with serving(lambda: network) as server:
        yield server


def played_by(policy: Policy, ticks: int = 64, teams: tuple[int, ...] = (0, 1)) -> list[Played]:
    settings = PlaySettings(
        run="remote", policies=(policy, find_policy("expander")), players=len(teams), teams=teams, chunk_ticks=ticks,
        games=4, width=9, height=9, seed=3,
    )  # fmt: skip
    pool = GamePool(settings, lambda: 0)
    return [played for _ in range(ticks) for played in pool.advance()]


def test_a_network_from_a_file_plays_its_best_moves(artefact: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(artefact)
    from_file, published = (
        played_by(find_player(str(path), lambda: PolicyDirectory(()))),
        played_by(trained(artefact, REF)),
    )
    for one, other in zip(from_file, published, strict=True):
        assert one.chunk is not None
        assert other.chunk is not None
        assert one.chunk.actions.tobytes() == other.chunk.actions.tobytes()


def failure_of(policy: Policy) -> str:
    """Why its games failed at their first tick."""
    return str(played_by(policy, ticks=1)[0].failure)


def actions_of(policy: Policy) -> set[int]:
    """What it did in the first tick of its games, none of which has failed."""
    played = played_by(policy, ticks=1)
    assert [one.failure for one in played] == [None] * 4
    return {int(one.chunk.actions[0, 0]) for one in played if one.chunk is not None}


@contextmanager
def answering(said: bytes, to_get: bytes | None = None) -> Iterator[Policy]:
    """A policy whose server says this to everyone, or something else to a GET, and closes the connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                connection, _ = listening.accept()
                with connection, connection.makefile("rb") as asked:
                    header = list(iter(asked.readline, b"\r\n"))
                    lengths = [line.split()[1] for line in header if line.lower().startswith(b"content-length")]
                    asked.read(sum(map(int, lengths)))
                    connection.sendall(to_get if to_get is not None and header[0].startswith(b"GET") else said)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield find_policy(f"http://127.0.0.1:{listening.getsockname()[1]}/act")
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(10)


def assert_plays_alike(one: Policy, other: Policy, teams: tuple[int, ...] = (0, 1)) -> None:
    there, here = played_by(one, teams=teams), played_by(other, teams=teams)
    assert len(there) == len(here) == 4
    for played, expected in zip(there, here, strict=True):
        assert played.chunk is not None
        assert expected.chunk is not None
        assert played.chunk.actions.tobytes() == expected.chunk.actions.tobytes()
        assert played.chunk.tiles.tobytes() == expected.chunk.tiles.tobytes()


@pytest.mark.parametrize("teams", [(0, 1), (0, 1, 0, 1)], ids=["a duel", "in teams"])
def test_it_plays_over_http_as_in_the_process(server: PolicyServer, artefact: bytes, teams: tuple[int, ...]) -> None:
    remote = find_policy(f"http://127.0.0.1:{server.port}/act")
    assert_plays_alike(remote, trained(artefact, REF), teams)
    assert remote.ref == REF, "it takes name and version from the answers"


def test_a_server_says_what_its_network_was_trained_on() -> None:
    artefact = made("memory", tick_scale=20.0)  # its clock runs fifty times as fast as that of the default
    assert actions_differ(artefact, made("memory")), "else this would prove nothing"
    with serving(lambda: load_network(artefact, REF)) as server:
        for fragment in ("", "#memory"):
            assert_plays_alike(find_policy(f"http://127.0.0.1:{server.port}/act{fragment}"), trained(artefact, REF))


def actions_differ(one: bytes, other: bytes) -> bool:
    played = [played_by(trained(artefact, REF)) for artefact in (one, other)]
    return any(
        a.chunk is not None and b.chunk is not None and a.chunk.actions.tobytes() != b.chunk.actions.tobytes()
        for a, b in zip(*played, strict=True)
    )


def test_a_network_of_another_encoding_is_shown_it_from_the_next_tick_on() -> None:
    first, then = (load_network(made("memory", tick_scale=scale), REF) for scale in (20.0, 1000.0))
    current = [first]
    with serving(lambda: current[0]) as server:
        policy = find_policy(f"http://127.0.0.1:{server.port}/act")
        assert policy.batch is not None
        pool = GamePool(PlaySettings(run="r", policies=(policy,), games=2, width=9, height=9, chunk_ticks=3), lambda: 0)
        pool.advance()
        current[0] = then
        pool.advance()  # is answered, but for another view: its players pass
        chunks = [played.chunk for played in pool.advance()]
    assert len(chunks) == 2
    for chunk in chunks:
        assert chunk is not None
        assert chunk.actions[1].tolist() == [PASS, PASS]
        assert PASS not in (chunk.actions[0].tolist(), chunk.actions[2].tolist())


def test_players_of_a_server_that_has_nothing_to_say_or_is_gone_pass() -> None:
    asleep = PolicyServer(lambda: None, host="127.0.0.1", port=0)
    policy = find_policy(f"http://127.0.0.1:{asleep.port}/act")
    assert actions_of(policy) == {PASS}
    asleep.close()
    assert actions_of(policy) == {PASS}


def _ok(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


FOUR = '[{"action": 1}, {"action": 1}, {"action": 1}, {"action": 1}]'


def _answer(policy: str = '"dqn@3"', actions: str = FOUR) -> bytes:
    return _ok('{"policy": ' + policy + ', "actions": ' + actions + "}")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", id="cut off in the middle"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", id="a chunk cut off"),
        pytest.param(b"", id="closed at once"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="a header without an end"),
        pytest.param(_ok("<html>Welcome</html>"), id="a page"),
        pytest.param(_ok("[" * 100_000), id="brackets"),
        pytest.param(_ok("[]"), id="a list"),
        pytest.param(_ok("null"), id="nothing"),
        pytest.param(_ok("{}"), id="no fields"),
        pytest.param(_answer(policy="7"), id="a number for a policy"),
        pytest.param(_answer(policy='"dqn"'), id="no version"),
        pytest.param(_answer(policy=f'"dqn@{2**40}"'), id="no version of ours"),
        pytest.param(_answer(actions="4"), id="no actions"),
        pytest.param(_answer(actions="[1, 1, 1, 1]"), id="actions without a name"),
        pytest.param(_answer(actions='[{"action": 1}]'), id="too few actions"),
        pytest.param(_answer(actions=FOUR.replace("1", "1.5")), id="half an action"),
        pytest.param(_answer(actions=FOUR.replace("1", "9" * 30)), id="a huge action"),
    ],
)
def test_players_of_a_server_that_is_cut_off_or_not_understood_pass(said: bytes) -> None:
    with answering(said) as policy:
        assert actions_of(policy) == {PASS}


def test_passes_for_want_of_an_answer_are_counted_with_and_without_a_deadline() -> None:
    for within_s in (None, 30.0):
        registry = CollectorRegistry()
        with answering(b"") as policy:
            play = PlaySettings(run="remote", policies=(policy,), players=2, games=4, width=9, height=9)
            GamePool(punctual(play, within_s, Metrics(registry).engine), lambda: 0).advance()
            labels = {"policy": policy.ref.name}
        assert registry.get_sample_value("generals_policy_timeouts_total", labels) == 8


def test_an_answer_that_is_understood_is_played() -> None:
    with answering(_answer()) as policy:
        assert actions_of(policy) == {1}
        assert policy.ref == PolicyRef("dqn", 3)


@pytest.mark.parametrize(
    "to_get",
    [
        pytest.param(b"HTTP/1.1 501 Unsupported method\r\nContent-Length: 0\r\n\r\n", id="as Python's own server"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", id="an older one of ours"),
        pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", id="one that fails"),
        pytest.param(_ok("I am well"), id="text"),
        pytest.param(_ok('"well"'), id="other JSON"),
        pytest.param(_ok('{"encoding": "nine_planes"}'), id="without parameters"),
        pytest.param(_ok('{"encoding": "nine_planes", "encoding_params": {}}'), id="with none"),
    ],
)
@pytest.mark.parametrize(
    "more", ["", ', "encoding": "nine_planes"', ', "encoding": "nine_planes", "encoding_params": {}']
)
def test_a_server_that_says_little_of_itself_is_played(to_get: bytes, more: str) -> None:
    with answering(_ok('{"policy": "mine@1", "actions": ' + FOUR + more + "}"), to_get) as policy:
        assert actions_of(policy) == {1}


def test_a_server_that_has_no_policy_yet_is_asked_again_what_it_takes() -> None:
    with answering(_answer(), b"HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n") as policy:
        assert actions_of(policy) == {PASS}


def test_a_server_that_refuses_the_question_fails_the_games_and_says_why() -> None:
    with answering(b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\nnot so!!\n") as policy:
        assert "answers 400: not so!!" in failure_of(policy)


def test_a_server_that_takes_something_else_than_the_url_says_fails_the_games(server: PolicyServer) -> None:
    refused = failure_of(find_policy(f"http://127.0.0.1:{server.port}/act#memory"))
    assert "takes nine_planes, not memory" in refused


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('{"encoding": "os:path"}', "known are"),
        ('{"encoding": ["nine_planes"]}', "known are"),
        ('{"encoding": "nine_planes", "encoding_params": {"army_scale": "much"}}', "parameters"),
        ('{"encoding": "nine_planes", "encoding_params": {"warp": 9}}', "no parameter 'warp'"),
        ('{"encoding": "nine_planes", "encoding_params": [1]}', "parameters"),
    ],
)
def test_an_encoding_that_is_not_known_here_fails_the_games_and_imports_nothing(said: str, reason: str) -> None:
    with answering(_ok(said)) as policy:
        assert reason in failure_of(policy)


def test_a_url_of_another_kind_is_no_policy() -> None:
    with pytest.raises(UnknownPolicy, match="ftp"):
        find_policy("ftp://somewhere/act")
