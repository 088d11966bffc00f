"""Writers killed at random instants, on a real Kafka, against a folder and a real S3: each experience once."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.random import default_rng
from writer_process import WriterProcess, wait_for_output, wait_until_archived

from generals_runtime.objects import ObjectStore, open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import ExperienceBatch
from generals_writer.catalog import read_chains
from generals_writer.kafka_log import KafkaLog
from generals_writer.layout import LogPartition
from generals_writer.verify import verify

Key = tuple[str, int, int]
ROTATION: dict[str, Any] = {"records": 25, "bytes": 10**9, "idle_seconds": 1.0}


def keys_of(batches: Sequence[ExperienceBatch]) -> list[Key]:
    return sorted((b.game_id, b.player, b.first_tick + i) for b in batches for i in range(b.steps))


def keys_by_pyarrow(store: ObjectStore) -> list[Key]:
    """From the objects alone: no claim, no code of ours."""
    keys: list[Key] = []
    for info in store.list("topic="):
        if info.key.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(store.get(info.key)), columns=["game_id", "player", "tick"])
            columns = (table["game_id"].cast(pa.string()), table["player"], table["tick"])
            keys += zip(*(column.to_pylist() for column in columns), strict=True)
    return sorted(keys)


def kill_and_restart(writer: WriterProcess, kills: int, seed: int) -> None:
    """Lives of random length: some end before the group is joined, most within a second of having partitions."""
    rng = default_rng(seed)
    for _ in range(kills):
        before = writer.output().count('"assigned"')
        writer.start()
        if rng.random() < 0.8:
            wait_for_output(writer, '"assigned"', more_than=before)
            time.sleep(float(rng.uniform(0.0, 1.0)))
        else:
            time.sleep(float(rng.uniform(0.1, 2.0)))
        assert writer.returncode is None, writer.output()[-3000:]
        writer.kill()


@pytest.fixture(params=["folder", "s3"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "archive") if request.param == "folder" else request.getfixturevalue("s3")


@pytest.mark.timeout(170)
def test_a_writer_killed_in_mid_stream_archives_each_experience_once(
    archive: str,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    writer_process: Callable[..., WriterProcess],
    kafka_settings: KafkaSettings,
    seed: int,
) -> None:
    batches = [made_up_play(partition, games=5, chunks=8, ticks=8) for partition in (0, 1)]
    for run in batches:
        produce(topics_for_test.experiences, run, hour_every=30)
    writer = writer_process(topics_for_test.prefix, [{"name": "a", "url": archive}], **ROTATION)
    kill_and_restart(writer, kills=4, seed=seed)

    store = open_store(archive)
    writer.start()
    wait_until_archived(store, {n: len(run) for n, run in enumerate(batches)}, topics_for_test.experiences, writer)
    assert writer.stop() == 0, writer.output()[-3000:]

    report = verify(store, log=KafkaLog(kafka_settings))
    assert (report.missing, report.duplicate, report.corrupt, report.stray) == (0, 0, 0, 0), report.problems
    expected = keys_of([batch for run in batches for batch in run])
    assert (report.rows, report.behind, report.pending) == (len(expected), 0, 0)
    assert keys_by_pyarrow(store) == expected


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_fifty_kills_during_load_leave_nothing_missing_duplicate_or_corrupt(
    archive: str,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    writer_process: Callable[..., WriterProcess],
    kafka_settings: KafkaSettings,
    seed: int,
) -> None:
    writer = writer_process(topics_for_test.prefix, [{"name": "a", "url": archive}], **ROTATION)
    batches: list[list[ExperienceBatch]] = [
        made_up_play(partition, games=40, chunks=10, ticks=8) for partition in (0, 1)
    ]
    rounds = 10
    for n in range(rounds):
        for run in batches:
            produce(topics_for_test.experiences, run[n * len(run) // rounds : (n + 1) * len(run) // rounds])
        kill_and_restart(writer, kills=5, seed=seed + n)

    store = open_store(archive)
    writer.start()
    ends = {n: len(run) for n, run in enumerate(batches)}
    wait_until_archived(store, ends, topics_for_test.experiences, writer, timeout_s=300)
    writer.stop()

    report = verify(store, log=KafkaLog(kafka_settings))
    assert (report.missing, report.duplicate, report.corrupt, report.stray) == (0, 0, 0, 0), report.problems
    assert keys_by_pyarrow(store) == keys_of([batch for run in batches for batch in run])


@pytest.mark.partitions(1)
@pytest.mark.timeout(170)
def test_two_writers_given_the_same_partition_by_force_share_it_without_loss(
    tmp_path: Path,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    writer_process: Callable[..., WriterProcess],
    kafka_settings: KafkaSettings,
) -> None:
    """Two groups and one folder: both read everything and fight for every segment."""
    archive = tmp_path / "archive"
    batches = made_up_play(games=8, chunks=10, ticks=8)
    rivals = [
        writer_process(
            topics_for_test.prefix, [{"name": name, "url": str(archive)}], records=records, idle_seconds=1.0
        ).start()
        for name, records in (("one", 7), ("two", 11))
    ]
    store = open_store(str(archive))
    for rival in rivals:
        wait_for_output(rival, '"assigned"')
    for start in range(0, len(batches), 40):
        produce(topics_for_test.experiences, batches[start : start + 40])
        time.sleep(0.3)
    wait_until_archived(store, {0: len(batches)}, topics_for_test.experiences, rivals[0])
    assert [rival.stop() for rival in rivals] == [0, 0], "".join(rival.output()[-1500:] for rival in rivals)

    report = verify(store, log=KafkaLog(kafka_settings))
    assert (report.missing, report.duplicate, report.corrupt, report.stray) == (0, 0, 0, 0), report.problems
    assert keys_by_pyarrow(store) == keys_of(batches)
    claims = [segment.claim for chain in read_chains(store) for segment in chain.segments]
    assert {LogPartition(claim.topic, claim.partition) for claim in claims} == {
        LogPartition(topics_for_test.experiences, 0)
    }
    if len({claim.writer for claim in claims}) == 1:
        assert "another writer was faster" in "".join(rival.output() for rival in rivals)
