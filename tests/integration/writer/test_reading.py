"""The archive gives back what the live stream gives, and goes over into it at an exact offset."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from writer_process import WriterProcess, wait_until_archived

from generals_client.batch import Batch
from generals_client.stream import ExperienceStream
from generals_runtime.objects import open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import ExperienceBatch
from generals_writer.archive import KafkaLog, positions, read, repair, verify

ROTATION = {"records": 15, "idle_seconds": 1.0}
COLUMNS = (
    "game_id",
    "player",
    "tick",
    "action",
    "reward",
    "terminated",
    "truncated",
    "policy_version",
    "source_offset",
)


def assert_equal(one: Batch, two: Batch) -> None:
    for name in (*COLUMNS, "state", "next_state", "action_mask"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


@pytest.mark.partitions(1)
def test_the_archive_gives_the_batches_of_the_stream_and_hands_over_to_it(
    tmp_path: Path,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    writer_process: Callable[..., WriterProcess],
    kafka: str,
) -> None:
    topic, archive = topics_for_test.experiences, str(tmp_path / "archive")
    batches = [batch for batch in made_up_play(games=1, chunks=60, ticks=8)]
    half = len(batches) // 2
    produce(topic, batches[:half], hour_every=20)
    writer = writer_process(topics_for_test.prefix, [{"name": "a", "url": archive}], **ROTATION).start()
    store = open_store(archive)
    wait_until_archived(store, {0: half}, topic, writer)
    assert writer.stop() == 0
    produce(topic, batches[half:], hour_every=20)

    with ExperienceStream(bootstrap_servers=kafka, group="whole", topic=topic, batch_size=64) as stream:
        live = list(stream)
    archived = list(read(store, topic, batch_size=64))
    for one, two in zip(archived[:-1], live, strict=False):
        assert_equal(one, two)
    assert len(archived) > 3

    with ExperienceStream(
        bootstrap_servers=kafka, group="rest", topic=topic, batch_size=64, start=positions(store, topic)
    ) as stream:
        rest = list(stream)
    both = list(chain(archived, rest))
    for name in COLUMNS:
        together = np.concatenate([getattr(batch, name) for batch in both])
        np.testing.assert_array_equal(together, np.concatenate([getattr(batch, name) for batch in live]))


@pytest.mark.partitions(1)
def test_a_flipped_byte_is_named_and_repaired_from_the_real_log(
    tmp_path: Path,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    writer_process: Callable[..., WriterProcess],
    kafka_settings: KafkaSettings,
) -> None:
    topic, archive = topics_for_test.experiences, tmp_path / "archive"
    batches = made_up_play(games=3, chunks=6, ticks=8)
    produce(topic, batches)
    writer = writer_process(topics_for_test.prefix, [{"name": "a", "url": str(archive)}], **ROTATION).start()
    store = open_store(archive)
    wait_until_archived(store, {0: len(batches)}, topic, writer)
    assert writer.stop() == 0
    victim = sorted(archive.rglob("*.parquet"))[1]
    whole = victim.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 1
    victim.write_bytes(bytes(damaged))
    name = str(victim.relative_to(archive))
    assert [(p.kind, p.where) for p in verify(store).problems] == [("corrupt", name)]
    report = repair(store, KafkaLog(kafka_settings))
    assert (report.repaired, report.failed) == ([name], [])
    assert verify(store).problems == []
    assert victim.read_bytes() == whole
