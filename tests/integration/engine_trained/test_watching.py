"""Policies on a real broker: newer versions are loaded while the old ones play, a wrong checksum is refused."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import Policy, codes, find_policy
from generals_engine.trained import watching
from generals_engine.trained.playing import NewestPolicy, PastPolicy
from generals_engine.trained.watching import PolicyWatcher
from generals_engine.trained_settings import TrainedSettings
from generals_runtime import metrics
from generals_runtime.kafka import make_producer
from generals_runtime.local_store import LocalStore
from generals_runtime.objects import StoreUnavailable
from generals_runtime.published_policies import fetch_policy
from generals_runtime.settings import KafkaSettings
from generals_schemas.encodings import get_encoding
from generals_schemas.records import PolicyPointer, PolicyRef
from generals_trainer.network import QNetwork
from generals_trainer.onnx_export import OnnxExport
from generals_trainer.policies import Publisher


class SpoilingStore(LocalStore):
    """While `spoils` it stores something else than what it is given."""

    spoils = False

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        super().put(key, data[:-1] + b"x" if self.spoils else data, if_absent=if_absent)


class Trainer:
    """Publishes networks with random weights."""

    def __init__(self, kafka: KafkaSettings, folder: Path) -> None:
        self._store = SpoilingStore(folder)
        self._publisher = Publisher(kafka, self._store, "dqn")
        self._export = OnnxExport(9)

    def publish(self, *, spoil: bool = False) -> PolicyPointer:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._publisher.version)
            network = QNetwork(get_encoding("nine_planes"), width=4, blocks=1)
            torch.nn.init.normal_(network.moves.weight)
        metadata = {"encoding": "nine_planes", "trainer_steps": "5"}
        self._store.spoils = spoil  # before the pointer is there: who reads it may be quick
        return self._publisher.publish(self._export.make(network, metadata), metadata)

    def close(self) -> None:
        self._publisher.close()


def wait_for(condition: Callable[[], Any], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_wrong_checksum_is_refused_and_the_old_version_plays_on(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path
) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    trainer = Trainer(kafka, tmp_path)
    trainer.publish()
    watcher = PolicyWatcher(kafka, "dqn", keep=3)
    assert watcher.wait(60)
    failures = metrics.default().engine.policy_reload_failures.labels("dqn")
    before = failures._value.get()

    policy = NewestPolicy(TrainedSettings(), watcher.newest, seed=0)
    pool = GamePool(
        PlaySettings(
            run="t", policies=(Policy("dqn", codes.EXTERNAL, policy), find_policy("expander")), width=8, height=8,
            games=4, chunk_ticks=8, tick_limit=100,
        ),
        now_ms=lambda: 0,
    )  # fmt: skip

    def versions_played() -> set[int]:
        chunks = [played.chunk for _ in range(16) for played in pool.advance() if played.chunk is not None]
        assert chunks
        return {ref.version for chunk in chunks for ref in chunk.policies if ref.name == "dqn"}

    assert versions_played() == {1}
    with capture_logs() as logs:
        trainer.publish(spoil=True)
        wait_for(lambda: failures._value.get() == before + 1)
    refused = [entry for entry in logs if entry["event"] == "a published policy is refused"]
    assert [entry["version"] for entry in refused] == [2]
    assert "SHA-256" in refused[0]["reason"]
    assert versions_played() == {1}

    trainer.publish()
    wait_for(lambda: policy.ref.version == 3)
    versions_played()  # chunks that had begun end under the version they began with
    assert versions_played() == {3}
    assert [network.ref.version for network in watcher.versions()] == [1, 3]
    watcher.close()
    trainer.close()


def test_opponents_from_the_past_keep_their_version_for_a_game(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path
) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    trainer = Trainer(kafka, tmp_path)
    for _ in range(4):
        trainer.publish()
    watcher = PolicyWatcher(kafka, "dqn", keep=3)
    assert watcher.wait(60)
    past = PastPolicy("dqn", watcher.versions, seed=0)
    assert past.ref.name == "dqn-past"
    assert [network.ref.version for network in watcher.versions()] == [2, 3, 4]

    games = [past.next_version(None) for _ in range(200)]
    assert {game.ref for game in games} == {PolicyRef("dqn-past", version) for version in (2, 3, 4)}
    trainer.publish()
    wait_for(lambda: watcher.versions()[-1].ref.version == 5)
    assert [past.next_version(game) for game in games] == games
    assert {past.next_version(None).ref.version for _ in range(200)} == {3, 4, 5}
    watcher.close()
    trainer.close()


def test_what_goes_wrong_meanwhile_is_counted_and_tried_again(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    monkeypatch.setattr(watching, "AGAIN_AFTER_S", 0.05)
    troubles = iter([StoreUnavailable("a store that is away"), ValueError("a bug")])

    def fetch(pointer: PolicyPointer) -> bytes:
        if (trouble := next(troubles, None)) is not None:
            raise trouble
        return fetch_policy(pointer)

    monkeypatch.setattr(watching, "fetch_policy", fetch)
    producer = make_producer(kafka)
    producer.produce(topics_for_test.policies, b"no policy", key=b"dqn")
    assert producer.flush(30) == 0
    failures = metrics.default().engine.policy_reload_failures.labels("dqn")
    before = failures._value.get()
    watcher = PolicyWatcher(kafka, "dqn")
    trainer = Trainer(kafka, tmp_path)
    trainer.publish()
    wait_for(lambda: watcher.newest() is not None)
    assert failures._value.get() == before + 2
    trainer.publish()
    wait_for(lambda: watcher.versions()[-1].ref.version == 2)
    watcher.close()
    trainer.close()


def test_before_the_first_version_moves_are_random(kafka_settings: KafkaSettings, topics_for_test: Any) -> None:
    kafka = kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix})
    watcher = PolicyWatcher(kafka, "dqn")
    assert watcher.wait(60)
    policy = NewestPolicy(TrainedSettings(), watcher.newest, seed=0)
    pool = GamePool(
        PlaySettings(
            run="t", policies=(Policy("dqn", codes.EXTERNAL, policy),), width=8, height=8, games=2, chunk_ticks=64
        ),
        now_ms=lambda: 0,
    )
    chunks = [played.chunk for _ in range(64) for played in pool.advance() if played.chunk is not None]
    assert len(np.unique(np.concatenate([chunk.actions[:, 0] for chunk in chunks]))) > 10
    assert {ref.version for chunk in chunks for ref in chunk.policies} == {0}
    watcher.close()
