"""What the trainer's reader counts is counted in the metrics that all services share, too."""

from generals_client.reader import ReaderStats
from generals_runtime import metrics
from generals_trainer.buffers import ReplayBuffers
from generals_trainer.limiter import SamplesPerInsert
from generals_trainer.reporting import Report
from generals_trainer.settings import TrainerSettings

SHARED = ("records_consumed", "consumed_bytes", "repeated_records", "lost_records")


def counted(topic: str) -> list[float]:
    registry = metrics.default().registry
    return [registry.get_sample_value(f"generals_{name}_total", {"topic": topic}) or 0.0 for name in SHARED]


def test_losses_repeats_and_what_was_read_are_counted_once_from_report_to_report() -> None:
    settings = TrainerSettings()
    topic = settings.kafka.topics().experiences.name
    report, before, stats = Report(settings), counted(topic), ReaderStats()
    limiter, buffers = SamplesPerInsert(1.0, 1), ReplayBuffers(settings.replay, seed=0)

    def reported() -> list[float]:
        report.status("training", steps=0, version=0, limiter=limiter, buffers=buffers, stats=stats, lag={})
        return [now - then for now, then in zip(counted(topic), before, strict=True)]

    assert reported() == [0, 0, 0, 0]
    stats.records, stats.repeats, stats.size_bytes, stats.lost_chunks = 10, 2, 3000, 1
    assert reported() == [12, 3000, 2, 1]
    stats.records, stats.lost_chunks = 15, 4
    assert reported() == [17, 3000, 2, 4]
    assert reported() == [17, 3000, 2, 4]
