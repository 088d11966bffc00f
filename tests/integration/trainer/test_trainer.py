"""The trainer on a real broker: each experience once, kill -9 and go on, policies published."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generals_client.positions import Mark
from generals_runtime.kafka import OrderedProducer
from generals_runtime.object_errors import StoreError
from generals_runtime.objects import open_store
from generals_runtime.published_policies import PolicyError, fetch_policy, read_policies
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch, PolicyRef, Source
from generals_trainer import checkpoint, onnx_export
from generals_trainer.learner import DoubleDQN
from generals_trainer.policies import Publisher
from generals_trainer.settings import LearnerSettings, ReplaySettings, TrainerSettings
from generals_trainer.trainer import Trainer

PLANES = ("own", "enemy", "city", "mountain")
TINY = LearnerSettings(batch_size=16, network_width=4, network_blocks=1)
STEPS, SIDE = 8, 4

RECORDER = """
import sys
from generals_runtime.service import main
from generals_trainer.settings import TrainerSettings
from generals_trainer.trainer import Trainer

log = open(sys.argv.pop(), "a", buffering=1)
main_of = lambda settings: Trainer(settings, on_sample=record)

def record(sample):
    digest = hash((sample.serials.tobytes(), sample.weights.tobytes(), sample.returns.tobytes(),
                   sample.states.armies.tobytes(), sample.next_states.bits.tobytes()))
    log.write(f"{digest}\\n")

sys.exit(main(TrainerSettings, main_of, name="trainer"))
"""


def make_batch(rng: np.random.Generator, game: int, chunk: int, source: Source, *, end: Any) -> ExperienceBatch:
    shape = (STEPS + 1, SIDE * SIDE)
    return ExperienceBatch(
        game_id=f"g{game}",
        chunk=chunk,
        player=source.index,
        first_tick=chunk * STEPS,
        width=SIDE,
        height=SIDE,
        encoding="nine_planes",
        encoding_params={},
        reward="shaped",
        reward_params={},
        policy=PolicyRef("random"),
        config_version="test",
        planes=PLANES,
        scalar_names=(),
        armies=rng.integers(0, 600, shape).astype(np.uint16),
        bits=rng.integers(0, 256, (STEPS + 1, len(PLANES), 2)).astype(np.uint8),
        scalars=np.zeros((STEPS + 1, 0), np.float32),
        actions=rng.integers(0, 8 * SIDE * SIDE + 1, STEPS).astype(np.int32),
        rewards=rng.normal(size=STEPS).astype(np.float32),
        end=end,
        source=source,
    )


def produce(
    kafka: KafkaSettings, topic: str, games: Sequence[int], *, seed: int, partitions: int = 1, repeat: int = 0
) -> int:
    """Two players, three chunks a game, each partition's source offsets unbroken. Returns the experiences.

    repeat: after each partition's records its last `repeat` ones come again, as from a collector that crashed.
    """
    rng = np.random.default_rng(seed)
    logs: list[list[bytes]] = [[] for _ in range(partitions)]
    for game in games:
        log = logs[game % partitions]
        for chunk in range(3):
            offset = 3 * (game // partitions) + chunk
            for player in range(2):
                source = Source("transitions", "tid", game % partitions, offset, player, 2)
                end = "terminated" if chunk == 2 else "none"
                log.append(encode_batch(make_batch(rng, game, chunk, source, end=end)))
    with OrderedProducer(kafka) as producer:
        for partition, log in enumerate(logs):
            for record in log + log[-repeat:] if repeat else log:
                producer.send(topic, partition, b"key", record)
        producer.flush()
    return len(games) * 3 * 2 * STEPS


def make_settings(kafka: KafkaSettings, prefix: str, run_dir: Path, **changes: Any) -> TrainerSettings:
    return TrainerSettings(
        kafka=kafka.model_copy(update={"topic_prefix": prefix}),
        run_dir=run_dir,
        learner=TINY,
        replay=ReplaySettings(capacity=5000, warmup=100, n_step=3),
        **{"group": f"trainer-{prefix}", "samples_per_insert": 2.0, **changes},
    )


def run_until(trainer: Trainer, done: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        trainer.run_once(0.1)
        assert time.monotonic() < deadline, trainer.status("overdue")


def live(settings: TrainerSettings, done: Callable[[Trainer], bool]) -> Trainer:
    """A trainer's whole life, from its start to its stop."""
    trainer = Trainer(settings)
    trainer.start()
    run_until(trainer, lambda: done(trainer))
    trainer.stop()
    return trainer


@pytest.mark.partitions(3)
def test_each_experience_is_inserted_once_and_learnt_from_in_proportion(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    total = produce(kafka_settings, topics_for_test.experiences, range(30), seed=seed, partitions=3, repeat=4)
    trainer = Trainer(make_settings(kafka_settings, topics_for_test.prefix, tmp_path))
    trainer.start()
    updates = 2 * total // 16
    run_until(trainer, lambda: trainer.steps >= updates and trainer.status("running")["repeats"] == 12)
    trainer.stop()
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["experiences_inserted"] == total == trainer.buffers.eligible
    assert (status["repeats"], status["lost_chunks"]) == (12, 0)
    assert status["trainer_steps"] == trainer.steps == updates
    assert status["samples_per_insert"] == pytest.approx(2.0, rel=0.01)
    assert np.isfinite(status["mean_return"])
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert {p.partition: (p.offset, p.mark) for p in saved.positions} == dict.fromkeys(range(3), (60, Mark(29, 1, 2)))
    again = Trainer(make_settings(kafka_settings, topics_for_test.prefix, tmp_path))
    again.start()
    assert (again.limiter.inserted, again.steps) == (total, trainer.steps)
    assert again.buffers.eligible == total
    more = produce(kafka_settings, topics_for_test.experiences, range(30, 33), seed=seed, partitions=3)
    run_until(again, lambda: again.steps >= 2 * (total + more) // 16)
    again.stop()
    assert again.limiter.inserted == total + more


def start_process(settings: TrainerSettings, recording: Path) -> subprocess.Popen[bytes]:
    config = recording.with_suffix(".yaml")
    values = json.loads(settings.model_dump_json(exclude_unset=True))
    kafka = {"bootstrap_servers": settings.kafka.bootstrap_servers, "topic_prefix": settings.kafka.topic_prefix}
    values.pop("kafka")
    config.write_text(json.dumps({"kafka": kafka, "trainer": values}))
    environment = {**os.environ, "GENERALS_CONFIG": str(config), "PYTHONHASHSEED": "0"}
    with recording.with_suffix(".log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-c", RECORDER, str(recording)], env=environment, stderr=log)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@pytest.mark.timeout(420)
@pytest.mark.partitions(1)
def test_killed_it_goes_on_and_the_next_thousand_batches_are_an_unbroken_runs(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    produce(kafka_settings, topics_for_test.experiences, range(300), seed=seed)
    changes = {"samples_per_insert": 2.0, "checkpoint_every_s": 0.2, "log_every_s": 0.2, "max_steps": 1700}

    def settings(name: str) -> TrainerSettings:
        directory = tmp_path / name
        return make_settings(
            kafka_settings, topics_for_test.prefix, directory, **changes, group=f"{topics_for_test.prefix}{name}"
        )

    unbroken = start_process(settings("unbroken"), tmp_path / "unbroken.samples")
    assert unbroken.wait(150) == 0, (tmp_path / "unbroken.log").read_text()
    expected = (tmp_path / "unbroken.samples").read_text().split()
    assert len(expected) == 1700

    first = tmp_path / "first.samples"
    process = start_process(settings("broken"), first)
    saved = tmp_path / "broken" / checkpoint.NAME
    wait_for(lambda: saved.exists() and len(first.read_text().split()) > 300, process, first.with_suffix(".log"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = checkpoint.load(tmp_path / "broken")
    assert state is not None
    done = state.progress["steps"]
    assert done <= 700, "killed too late to leave a thousand batches"

    second = tmp_path / "second.samples"
    process = start_process(settings("broken"), second)
    assert process.wait(150) == 0, second.with_suffix(".log").read_text()
    resumed = second.read_text().split()
    assert first.read_text().split()[:done] == expected[:done]
    assert resumed == expected[done:]
    assert len(resumed) >= 1000
    one, other = (checkpoint.load(tmp_path / name) for name in ("unbroken", "broken"))
    assert one is not None
    assert other is not None
    for name, weight in one.learner["online"].items():
        assert torch.equal(weight, other.learner["online"][name]), name


def test_policies_are_published_once_each_and_a_wrong_checksum_is_refused(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    produce(kafka_settings, topics_for_test.experiences, range(20), seed=seed, partitions=2)
    settings = make_settings(kafka_settings, topics_for_test.prefix, tmp_path / "run", publish_every_s=0.05)
    trainer = Trainer(settings)
    trainer.start()
    run_until(trainer, lambda: trainer.steps > 40 and trainer.version >= 2)
    trainer.stop()
    directory = read_policies(settings.kafka)
    versions = directory.versions("dqn")
    assert [pointer.version for pointer in versions] == list(range(1, trainer.version + 1))
    newest = directory.newest("dqn")
    assert newest is not None
    assert newest.metadata["trainer_steps"] == str(trainer.steps)
    artefact = fetch_policy(newest)
    assert hashlib.sha256(artefact).hexdigest() == newest.sha256
    planes = torch.rand(2, 9, 6, 5)
    assert isinstance(trainer.learner, DoubleDQN)
    expected = trainer.learner.published(planes).detach().numpy()
    np.testing.assert_allclose(onnx_export.run(onnx_export.open_session(artefact), planes.numpy()), expected, atol=1e-5)

    later = Publisher(settings.kafka, open_store(tmp_path / "elsewhere"), "dqn")
    pointer = later.publish(b"something", {})
    later.close()
    assert pointer.version == newest.version + 1, "versions go on, also without a checkpoint"
    Path(pointer.url).write_bytes(b"something else")
    with pytest.raises(PolicyError, match="refused"):
        fetch_policy(pointer)


def test_a_stop_keeps_the_last_steps_also_where_the_policy_cannot_be_published(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(kafka_settings, topics_for_test.experiences, range(10), seed=seed, partitions=2)
    settings = make_settings(kafka_settings, topics_for_test.prefix, tmp_path, publish_every_s=1000.0)
    trainer = Trainer(settings)
    trainer.start()
    run_until(trainer, lambda: trainer.steps > 5)

    def refuse(*_: Any, **__: Any) -> None:
        raise StoreError("the store is full")

    monkeypatch.setattr(Publisher, "publish", refuse)
    with pytest.raises(StoreError):
        trainer.stop()
    trainer.abort()
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert saved.progress["steps"] == trainer.steps


def test_a_log_that_lost_its_past_leaves_the_weights_and_an_empty_buffer(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    total = produce(kafka_settings, topics_for_test.experiences, range(10), seed=seed, partitions=2)
    settings = make_settings(kafka_settings, topics_for_test.prefix, tmp_path)
    steps = live(settings, lambda trainer: trainer.limiter.inserted >= total and trainer.limiter.error < 0.02).steps

    from confluent_kafka import TopicPartition

    from generals_runtime.kafka import make_admin

    gone = [TopicPartition(topics_for_test.experiences, partition, 5) for partition in range(2)]
    admin = make_admin(settings.kafka)
    for future in admin.delete_records(gone, operation_timeout=10).values():
        future.result(20)
    again = Trainer(settings)
    again.start()
    again.stop()
    assert (again.steps, again.limiter.inserted, again.buffers.eligible) == (steps, total, 0)


def test_a_part_of_a_job_of_ranks_is_not_gone_on_from(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, seed: int
) -> None:
    total = produce(kafka_settings, topics_for_test.experiences, range(4), seed=seed, partitions=2)
    settings = make_settings(kafka_settings, topics_for_test.prefix, tmp_path)
    live(settings, lambda trainer: trainer.limiter.inserted >= total)
    saved = checkpoint.load(settings.run_dir)
    assert saved is not None
    checkpoint.save(replace(saved, progress={**saved.progress, "world": 2}), settings.run_dir)
    with pytest.raises(checkpoint.CheckpointError, match="torchrun --nproc-per-node=1 -m generals_trainer"):
        Trainer(settings).start()
