"""A policy behind HTTP plays as it does at home; a server that is away costs passes, one that refuses says why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from generals_engine.arena import find_player, trained
from generals_engine.games import GamePool, Played
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Policy, UnknownPolicy, find_policy
from generals_engine.trained.network import TrainedNetwork, load_network
from generals_engine.trained.serving import PolicyServer
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyRef
from generals_trainer.network import QNetwork
from generals_trainer.onnx_export import OnnxExport

REF = PolicyRef("dqn", 12)


@pytest.fixture(scope="module")
def artefact() -> bytes:
    torch.manual_seed(1)
    encoding = get_encoding("nine_planes")
    network = QNetwork(encoding, width=4, blocks=1)
    torch.nn.init.normal_(network.moves.weight)  # which begins at zero: all moves would be worth the same
    return OnnxExport(len(encoding.channels)).make(network, {"encoding": encoding.name})


@pytest.fixture
def network(artefact: bytes) -> TrainedNetwork:
    return load_network(artefact, REF)


@pytest.fixture
def server(network: TrainedNetwork) -> Iterator[PolicyServer]:
    made = PolicyServer(lambda: network, host="127.0.0.1", port=0)
    yield made
    made.close()


def played_by(policy: Policy, ticks: int = 64) -> list[Played]:
    settings = PlaySettings(
        run="remote", policies=(policy, find_policy("expander")), chunk_ticks=ticks, games=4, width=9, height=9, seed=3
    )
    pool = GamePool(settings, lambda: 0)
    return [played for _ in range(ticks) for played in pool.advance()]


def test_a_network_from_a_file_plays_its_best_moves(artefact: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(artefact)
    from_file, published = played_by(find_player(str(path))), played_by(trained(artefact, REF))
    for one, other in zip(from_file, published, strict=True):
        assert one.chunk is not None
        assert other.chunk is not None
        assert one.chunk.actions.tobytes() == other.chunk.actions.tobytes()


def failure_of(policy: Policy) -> str:
    """Why its games failed at their first tick; a worker's deadline would make passes of NoAnswer."""
    return str(played_by(policy, ticks=1)[0].failure)


def test_it_plays_over_http_as_in_the_process(server: PolicyServer, artefact: bytes) -> None:
    remote = find_policy(f"http://127.0.0.1:{server.port}/act")
    there, here = played_by(remote), played_by(trained(artefact, REF))
    assert len(there) == len(here) == 4
    for one, other in zip(there, here, strict=True):
        assert one.chunk is not None
        assert other.chunk is not None
        assert one.chunk.actions.tobytes() == other.chunk.actions.tobytes()
        assert one.chunk.tiles.tobytes() == other.chunk.tiles.tobytes()
    assert remote.ref == REF, "it takes name and version from the answers"


def test_a_server_that_has_nothing_to_say_or_is_gone_gives_no_answer() -> None:
    asleep = PolicyServer(lambda: None, host="127.0.0.1", port=0)
    policy = find_policy(f"http://127.0.0.1:{asleep.port}/act")
    assert "NoAnswer: http://127.0.0.1" in failure_of(policy)
    assert "answers 503" in failure_of(policy)
    asleep.close()
    assert "NoAnswer" in failure_of(policy)
    assert "refused" in failure_of(policy)


def test_a_server_that_refuses_the_question_fails_the_games_and_says_why(server: PolicyServer) -> None:
    refused = failure_of(find_policy(f"http://127.0.0.1:{server.port}/act#memory"))
    assert "answers 400" in refused
    assert "plane 'explored' is unknown" in refused


def test_a_url_of_another_kind_is_no_policy() -> None:
    with pytest.raises(UnknownPolicy, match="ftp"):
        find_policy("ftp://somewhere/act")
