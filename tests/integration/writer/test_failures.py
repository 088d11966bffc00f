"""Storage that fails: the writer waits or stops with a clear error, goes on when it can, and loses nothing."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from failing_proxy import FailingProxy
from writer_process import WriterProcess, wait_for_output, wait_until_archived

from generals_runtime import metrics
from generals_runtime.kafka import make_consumer
from generals_runtime.objects import open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import ExperienceBatch
from generals_writer import destination
from generals_writer.catalog import positions
from generals_writer.kafka_log import KafkaLog
from generals_writer.settings import Destination, Rotation, WriterSettings
from generals_writer.verify import verify

Play = Callable[..., list[ExperienceBatch]]
Produce = Callable[..., None]
MakeWriter = Callable[..., WriterProcess]
QUICK = {"records": 20, "idle_seconds": 1.0}


def a_member_comes_and_goes(group: str, topic: str, kafka: KafkaSettings) -> None:
    """A rebalance, and another one."""
    visitor = make_consumer(kafka, group_id=group)
    joined: list[int] = []
    visitor.subscribe([topic], on_assign=lambda _, partitions: joined.extend(p.partition for p in partitions))
    deadline = time.monotonic() + 60.0
    while not joined:
        assert time.monotonic() < deadline
        visitor.consume(1, 0.1)
    visitor.close()


def assert_whole(url: str, batches: list[ExperienceBatch], kafka: KafkaSettings) -> None:
    report = verify(open_store(url), log=KafkaLog(kafka))
    assert (report.missing, report.duplicate, report.corrupt, report.stray) == (0, 0, 0, 0), report.problems
    assert (report.rows, report.behind) == (sum(batch.steps for batch in batches), 0)


@pytest.mark.partitions(1)
def test_an_s3_that_fails_a_fifth_of_all_calls_loses_nothing(
    s3: str, topics_for_test: Any, produce: Produce, made_up_play: Play, writer_process: MakeWriter,
    kafka_settings: KafkaSettings, seed: int,
) -> None:  # fmt: skip
    batches = made_up_play(games=4, chunks=10, ticks=8)
    produce(topics_for_test.experiences, batches, hour_every=5)  # so many objects that some calls fail
    bucket, _, endpoint = s3.partition("?endpoint=")
    with FailingProxy(endpoint, share=0.2, seed=seed) as proxy:
        through = f"{bucket}?endpoint={proxy.url}"
        writer = writer_process(topics_for_test.prefix, [{"name": "s3", "url": through}], **QUICK).start()
        wait_until_archived(open_store(s3), {0: len(batches)}, topics_for_test.experiences, writer, timeout_s=120)
        assert writer.stop() == 0, writer.output()[-3000:]
    assert proxy.calls > 80
    assert sum(proxy.faults.values()) > 0
    assert_whole(s3, batches, kafka_settings)


@pytest.mark.partitions(1)
def test_a_destination_that_cannot_be_written_does_not_hold_up_another(
    tmp_path: Path, topics_for_test: Any, produce: Produce, made_up_play: Play, writer_process: MakeWriter,
    kafka_settings: KafkaSettings,
) -> None:  # fmt: skip
    """A file stands where one destination's folder is to be, from the middle on; then it is taken away again."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    batches = made_up_play(games=4, chunks=10, ticks=8)
    half = len(batches) // 2
    writer = writer_process(
        topics_for_test.prefix,
        [{"name": name, "url": str(path)} for name, path in (("good", good), ("bad", bad))],
        **QUICK,
    ).start()
    produce(topics_for_test.experiences, batches[:half])
    for path in (good, bad):
        wait_until_archived(open_store(str(path)), {0: half}, topics_for_test.experiences, writer)
    (bad / "_segments").rename(tmp_path / "aside")
    (bad / "_segments").write_text("in the way")
    produce(topics_for_test.experiences, batches[half:])
    wait_until_archived(open_store(str(good)), {0: len(batches)}, topics_for_test.experiences, writer)
    wait_for_output(writer, "try_again_in_s")
    assert '"destination": "bad"' in next(line for line in writer.output().splitlines() if "try_again_in_s" in line)
    (bad / "_segments").unlink()
    (tmp_path / "aside").rename(bad / "_segments")
    wait_until_archived(open_store(str(bad)), {0: len(batches)}, topics_for_test.experiences, writer)
    assert writer.stop() == 0, writer.output()[-3000:]
    for path in (good, bad):
        assert_whole(str(path), batches, kafka_settings)


@pytest.mark.partitions(2)
def test_partitions_that_rebalance_while_the_store_is_away_are_fetched_again_when_it_is_back(
    tmp_path: Path, topics_for_test: Any, produce: Produce, made_up_play: Play, writer_process: MakeWriter,
    kafka_settings: KafkaSettings,
) -> None:  # fmt: skip
    archive, topic = tmp_path / "archive", topics_for_test.experiences
    batches = [made_up_play(partition, games=4, chunks=8, ticks=8) for partition in (0, 1)]
    half = len(batches[0]) // 2
    writer = writer_process(topics_for_test.prefix, [{"name": "moved", "url": str(archive)}], **QUICK).start()
    for run in batches:
        produce(topic, run[:half])
    wait_until_archived(open_store(str(archive)), {0: half, 1: half}, topic, writer)
    (archive / "_segments").rename(tmp_path / "aside")
    (archive / "_segments").write_text("in the way")
    for run in batches:
        produce(topic, run[half:])
    wait_for_output(writer, "try_again_in_s")
    a_member_comes_and_goes("generals-writer-moved", topic, kafka_settings)
    wait_for_output(writer, '"partitions": [0, 1], "event": "assigned"', more_than=1)
    (archive / "_segments").unlink()
    (tmp_path / "aside").rename(archive / "_segments")
    wait_until_archived(open_store(str(archive)), {n: len(run) for n, run in enumerate(batches)}, topic, writer)
    assert writer.stop() == 0, writer.output()[-3000:]
    assert_whole(str(archive), [batch for run in batches for batch in run], kafka_settings)


@pytest.mark.partitions(1)
def test_a_writer_put_out_for_not_polling_joins_again_and_loses_nothing(
    tmp_path: Path, topics_for_test: Any, produce: Produce, made_up_play: Play, kafka_settings: KafkaSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As after a store that hung for longer than five minutes; here the group waits for six seconds."""
    impatient = {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000}

    def make(*arguments: Any, overrides: dict[str, Any], **named: Any) -> Consumer:
        return make_consumer(*arguments, overrides={**overrides, **impatient}, **named)

    monkeypatch.setattr(destination, "make_consumer", make)
    batches = made_up_play(games=4, chunks=4, ticks=8)
    settings = WriterSettings(
        kafka=kafka_settings.model_copy(update={"topic_prefix": topics_for_test.prefix}), rotation=Rotation(**QUICK)
    )
    store, where = open_store(tmp_path), Destination(name="late", url=str(tmp_path))
    observed = metrics.default()
    writer = destination.DestinationWriter(settings, where, observed=observed.writer, runtime=observed.runtime)
    writer.start()
    deadline = time.monotonic() + 120.0
    while writer.not_ready():
        assert time.monotonic() < deadline
        writer.run_once(0.1)
    time.sleep(8.0)
    produce(topics_for_test.experiences, batches)
    while [position.offset for position in positions(store, topics_for_test.experiences)] != [len(batches)]:
        assert time.monotonic() < deadline
        writer.run_once(0.1)
    writer.stop()
    assert_whole(str(tmp_path), batches, kafka_settings)


@pytest.mark.partitions(1)
def test_a_destination_refused_from_the_start_ends_the_writer_with_one_clear_line(
    tmp_path: Path, topics_for_test: Any, produce: Produce, made_up_play: Play, writer_process: MakeWriter
) -> None:
    (tmp_path / "file").write_text("no folder")
    produce(topics_for_test.experiences, made_up_play(games=1, chunks=1, ticks=2))
    url = str(tmp_path / "file" / "archive")
    writer = writer_process(topics_for_test.prefix, [{"name": "a", "url": url}], **QUICK).start()
    assert writer.process is not None
    assert writer.process.wait(60) == 1
    assert url in writer.output()
    assert "Traceback" not in writer.output()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room. Mounting needs root."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.partitions(1)
def test_a_full_disk_is_waited_for_and_nothing_is_lost(
    small_disk: Path, topics_for_test: Any, produce: Produce, made_up_play: Play, writer_process: MakeWriter,
    kafka_settings: KafkaSettings,
) -> None:  # fmt: skip
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(560 * 1024))
    archive = str(small_disk / "archive")
    batches = made_up_play(games=6, chunks=12, ticks=16)
    produce(topics_for_test.experiences, batches, hour_every=1000)
    writer = writer_process(topics_for_test.prefix, [{"name": "small", "url": archive}], **QUICK).start()
    wait_for_output(writer, "No space left on device")
    time.sleep(1.0)
    assert writer.returncode is None, writer.output()[-3000:]
    ballast.unlink()
    wait_until_archived(open_store(archive), {0: len(batches)}, topics_for_test.experiences, writer)
    assert writer.stop() == 0, writer.output()[-3000:]
    assert_whole(archive, batches, kafka_settings)
