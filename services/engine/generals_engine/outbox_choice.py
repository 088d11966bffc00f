"""Makes the outbox that the settings ask for."""

from collections.abc import Mapping
from pathlib import Path

from generals_engine.outbox import BlockingOutbox, Outbox
from generals_engine.outbox_dropping import DroppingOutbox
from generals_engine.outbox_spilling import SpillingOutbox
from generals_engine.outbox_window import BYTES, Window
from generals_engine.settings import EngineSettings
from generals_engine.spill_kafka import KafkaLog
from generals_engine.spill_log import SpillLog
from generals_engine.spill_recovery import REPLICAS_SETTLE_S, SETTLE_S, Recovery
from generals_runtime.kafka import OrderedProducer, connect, topic_ids
from generals_runtime.metrics import EngineMetrics


def open_outbox(settings: EngineSettings, partitions: Mapping[str, int], metrics: EngineMetrics) -> Outbox:
    """`partitions`: how many each of the two topics has.

    Raises:
        KafkaUnavailable, TopicMissing, SpillInUse, SpillDamaged, LogGone.
    """
    chunks = settings.kafka.topics().transitions.name
    if settings.on_broker_away == "spill_to_disk" and settings.spill_dir is not None:
        return _spilling(settings, settings.spill_dir, partitions, chunks, metrics)
    producer = OrderedProducer(settings.kafka, client_id="generals-engine")
    if settings.on_broker_away == "drop_oldest" or settings.on_broker_away == "drop_newest":
        return DroppingOutbox(
            Window(producer, size=min(BYTES, settings.away_queue_bytes)),
            metrics,
            strategy=settings.on_broker_away,
            chunks=chunks,
            queue_bytes=settings.away_queue_bytes,
        )
    return BlockingOutbox(producer, metrics)


def _spilling(
    settings: EngineSettings, folder: Path, partitions: Mapping[str, int], chunks: str, metrics: EngineMetrics
) -> Outbox:
    ids = topic_ids(connect(settings.kafka), partitions)
    reader = KafkaLog(settings.kafka)
    ends = reader.ends([(topic, number) for topic, count in partitions.items() for number in range(count)])
    log = SpillLog(folder, max_bytes=settings.spill_max_bytes, ends=ends, ids=ids)
    settle_s = REPLICAS_SETTLE_S if reader.replicated(partitions) else SETTLE_S
    recovery = Recovery(log, reader, ids, settle_s=settle_s)
    producer = OrderedProducer(settings.kafka, client_id="generals-engine")
    # What is on its way must find room on disk beside what it follows.
    window = Window(producer, size=min(BYTES, settings.spill_max_bytes // 4))
    return SpillingOutbox(window, log, recovery, metrics, chunks=chunks, away_after_s=settings.away_after_s)
