"""A writer's memory is bounded by settings, not by how many hours and partitions are open."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy.random import default_rng
from synthetic_play import play
from writer_process import WriterProcess, wait_until_archived

from generals_runtime.kafka import OrderedProducer
from generals_runtime.objects import open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_writer.verify import verify

PARTITIONS, HOURS, RECORDS = 20, 10, 400


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.partitions(PARTITIONS)
def test_two_hundred_open_partition_hours_stay_under_512_mib(
    tmp_path: Path, topics_for_test: Any, writer_process: Callable[..., WriterProcess], kafka_settings: KafkaSettings,
    seed: int,
) -> None:  # fmt: skip
    """Everything is open at once: the clock goes round the hours record by record, and nothing closes but by idling."""
    pattern = list(play(default_rng(seed), games=8, chunks=4, ticks=64, side=(20, 21)))
    with OrderedProducer(kafka_settings) as producer:
        for partition in range(PARTITIONS):
            for n in range(RECORDS):
                batch = pattern[n % len(pattern)]
                turn = f"{batch.game_id}/{partition}/{n // len(pattern)}"
                source = replace(batch.source, partition=partition, offset=n, index=0, count=1)
                producer.send(
                    topics_for_test.experiences, partition, turn.encode(),
                    encode_batch(replace(batch, game_id=turn, source=source)),
                    timestamp_ms=1_750_000_000_000 + (n % HOURS) * 3_600_000,
                )  # fmt: skip
    archive = str(tmp_path / "archive")
    rotation = {"records": 10**6, "bytes": 10**12, "record_seconds": 10**9, "idle_seconds": 15.0}
    writer = writer_process(topics_for_test.prefix, [{"name": "a", "url": archive}], **rotation).start()
    ends = dict.fromkeys(range(PARTITIONS), RECORDS)
    wait_until_archived(open_store(archive), ends, topics_for_test.experiences, writer, timeout_s=300)
    assert writer.process is not None
    status = Path(f"/proc/{writer.process.pid}/status").read_text()
    peak_kib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert writer.stop() == 0
    report = verify(open_store(archive))
    assert (report.clean, report.objects) == (True, PARTITIONS * HOURS)
    assert report.rows == PARTITIONS * RECORDS * 64
    assert peak_kib < 512 * 1024, f"{peak_kib / 1024:.0f} MiB"
