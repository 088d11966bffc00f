"""All metrics of all services, in one place: what each is called, what it counts, which labels it may have.

Unusual: nothing is registered by importing this. A service takes its own group from `default()` (`default().engine`),
and only groups that were taken are exported, so an engine does not report an empty replay buffer.

Labels are bounded: topics, partitions, reasons and kinds are few by nature; policies are many, so a `policy` label goes
through `policy_label`, which gives the first 50 names their own series and calls the rest "other". No label is ever a
game, a version or an offset.
"""

from __future__ import annotations

import threading
from functools import cache, cached_property

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from generals_runtime.array_metrics import ArrayHistogram

__all__ = [
    "CollectorMetrics",
    "EngineMetrics",
    "Metrics",
    "RuntimeMetrics",
    "TrainerMetrics",
    "WriterMetrics",
    "default",
    "policy_label",
]

# 0.1 ms to 10 s; the engine's promise of 100 ms is one of the bounds.
LATENCIES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Storage may take minutes when it is retried.
STORAGE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RECORD_BYTES = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)
# The end rewards ±1, the cities' ±0.1 and the army advantage within ±0.05 fall in buckets of their own.
REWARDS = (-1.0, -0.5, -0.1, -0.05, -0.025, -0.01, 0.0, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
_MOST_POLICIES = 50


class PolicyLabels:
    """The first names seen keep their own label, later ones share "other"."""

    def __init__(self, most: int = _MOST_POLICIES) -> None:
        self._most = most
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        if name in self._seen:
            return name
        with self._lock:
            if len(self._seen) < self._most:
                self._seen.add(name)
        return name if name in self._seen else "other"


policy_label = PolicyLabels()


class RuntimeMetrics:
    """What services have in common. Not each sets all of it: `docs/metrics.md` says who does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records_consumed = Counter(
            "generals_records_consumed", "Records read from Kafka, repeats included", ["topic"], registry=registry
        )
        self.records_produced = Counter(
            "generals_records_produced", "Records acknowledged by Kafka", ["topic"], registry=registry
        )
        self.bytes_consumed = Counter(
            "generals_consumed_bytes", "Bytes of record values read", ["topic"], registry=registry
        )
        self.bytes_produced = Counter(
            "generals_produced_bytes", "Bytes of record values acknowledged", ["topic"], registry=registry
        )
        self.consumer_lag = Gauge(
            "generals_consumer_lag_records",
            "Records between this consumer's position and the end of the partition",
            ["topic", "partition", "group"],
            registry=registry,
        )
        self.repeats = Counter(
            "generals_repeated_records", "Records dropped because their mark said they were repeats", ["topic"],
            registry=registry,
        )  # fmt: skip
        self.losses = Counter(
            "generals_lost_records",
            "Chunks missing from the log, records gone before they were read; alert on any. Of a gap that a writer "
            "skipped both are counted",
            ["topic"], registry=registry,
        )  # fmt: skip
        self.serialise_seconds = Histogram(
            "generals_serialise_seconds",
            "Time to encode one record",
            ["record"],
            buckets=LATENCIES_S,
            registry=registry,
        )
        # Compression ratio = rate(raw) / rate(packed).
        self.raw_bytes = Counter(
            "generals_raw_bytes", "Bytes of boards (armies, bit planes) before compression", ["record"],
            registry=registry,
        )  # fmt: skip
        self.packed_bytes = Counter(
            "generals_packed_bytes", "Bytes of the whole records that hold the boards", ["record"], registry=registry
        )
        self.producer_queue = Gauge("generals_producer_queue_records", "Records queued or in flight", registry=registry)
        self.kafka_errors = Counter(
            "generals_kafka_errors",
            "Errors a Kafka client reported, by librdkafka's name",
            ["error"],
            registry=registry,
        )
        self.ready = Gauge("generals_ready", "1 when /ready says yes", registry=registry)
        self.idle_seconds = Gauge(
            "generals_idle_seconds", "Seconds since the loop last came round; the watchdog looks at this",
            registry=registry,
        )  # fmt: skip


class EngineMetrics:
    """Games, moves, and what became of chunks that Kafka would not take."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.games_running = Gauge("generals_games_running", "Games being played now", registry=registry)
        self.games_started = Counter("generals_games_started", "Games begun", registry=registry)
        # Games per second = rate of this. reason: won, stalemate, tick_limit, aborted.
        self.games_finished = Counter("generals_games_finished", "Games ended", ["reason"], registry=registry)
        self.game_failures = Counter(
            "generals_game_failures", "Games given up after an error", ["error"], registry=registry
        )
        self.ticks = Counter("generals_ticks", "Ticks played, summed over games", registry=registry)
        self.game_ticks = Histogram(
            "generals_game_ticks", "Length of a finished game",
            buckets=(50, 100, 200, 300, 400, 500, 750, 1000, 1500, 2000, 5000), registry=registry,
        )  # fmt: skip
        self.game_seconds = Histogram(
            "generals_game_seconds", "Wall time of a finished game",
            buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600), registry=registry,
        )  # fmt: skip
        # 0 is the first stage.
        self.curriculum_stage = Gauge(
            "generals_curriculum_stage", "Stage of the curriculum", ["learner"], registry=registry
        )
        self.curriculum_score = Gauge(
            "generals_curriculum_score", "Learner's share of points in the last whole trial", ["learner"],
            registry=registry,
        )  # fmt: skip
        self.game_memory = Gauge("generals_game_memory_bytes", "Memory a running game takes", registry=registry)
        self.action_seconds = Histogram(
            "generals_action_seconds", "Time from an observation to the policy's action", ["policy"],
            buckets=LATENCIES_S, registry=registry,
        )  # fmt: skip
        self.policy_timeouts = Counter(
            "generals_policy_timeouts", "Moves passed because the policy missed its deadline", ["policy"],
            registry=registry,
        )  # fmt: skip
        self.policy_version = Gauge(
            "generals_policy_version", "Version a policy plays with", ["policy"], registry=registry
        )
        self.policy_reload_failures = Counter(
            "generals_policy_reload_failures", "Published policies that could not be loaded", ["policy"],
            registry=registry,
        )  # fmt: skip
        self.chunk_bytes = Histogram(
            "generals_chunk_bytes", "Size of a chunk's record", buckets=RECORD_BYTES, registry=registry
        )
        # strategy: drop_oldest, drop_newest. Each chunk counted here is missing from the log.
        self.drops = Counter("generals_dropped_chunks", "Chunks given up", ["strategy"], registry=registry)
        # The summaries of games whose chunks were given up.
        self.dropped_summaries = Counter(
            "generals_dropped_summaries", "Game summaries given up", ["strategy"], registry=registry
        )
        self.spilled = Counter("generals_spilled_chunks", "Chunks written to disk first", registry=registry)
        self.spill_bytes = Gauge("generals_spill_bytes", "Bytes on disk that wait for Kafka", registry=registry)
        self.blocked_seconds = Counter(
            "generals_blocked_seconds", "Time spent waiting for room to send", registry=registry
        )


class CollectorMetrics:
    """Experiences, rewards, and chunks that were refused."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.experiences = Counter(
            "generals_experiences",
            "Experiences made of chunks, before they are sent; after a restart some are counted again",
            ["policy"],
            registry=registry,
        )
        self.chunks = Counter("generals_chunks", "Chunks turned into experiences", registry=registry)
        # reason: one of the validation's own words.
        self.validation_failures = Counter(
            "generals_validation_failures", "Chunks that failed validation and went to the dead-letter topic",
            ["reason"], registry=registry,
        )  # fmt: skip
        # kind: up, down, left, right, up_split, down_split, left_split, right_split, pass.
        self.actions = Counter("generals_actions", "Actions taken by living players", ["kind"], registry=registry)
        # Distribution, sum, count; mean, deviation, minimum and maximum are its gauges.
        self.reward = ArrayHistogram("generals_reward", "Reward of an experience", bounds=REWARDS, registry=registry)
        self.transform_seconds = Histogram(
            "generals_transform_seconds",
            "Time to turn a chunk into batches, decoding and encoding included; of each group of chunks the mean",
            buckets=LATENCIES_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "generals_collector_in_flight_chunks", "Chunks taken and not yet acknowledged", registry=registry
        )
        self.config_reloads = Counter(
            "generals_config_reloads", "New configurations seen while running", ["outcome"], registry=registry
        )


class WriterMetrics:
    """The archive. `destination` is the name a destination has in the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.experiences = Counter(
            "generals_archived_experiences", "Experiences in committed objects", ["destination"], registry=registry
        )
        self.objects = Counter("generals_archived_objects", "Objects written", ["destination"], registry=registry)
        self.bytes = Counter("generals_archived_bytes", "Bytes of objects written", ["destination"], registry=registry)
        self.write_seconds = Histogram(
            "generals_storage_write_seconds", "Time to store one object, retries included", ["destination"],
            buckets=STORAGE_S, registry=registry,
        )  # fmt: skip
        # reason: unavailable, full, refused.
        self.retries = Counter(
            "generals_storage_retries",
            "Times that a destination paused because its store failed",
            ["destination", "reason"],
            registry=registry,
        )
        # outcome: new, resumed (left by a crash), foreign (another process was faster).
        self.claims = Counter(
            "generals_writer_claims", "Segments claimed", ["destination", "outcome"], registry=registry
        )
        self.open_hours = Gauge(
            "generals_writer_open_hours",
            "Hours of record time in open segments, of all partitions",
            ["destination"],
            registry=registry,
        )
        self.buffered_bytes = Gauge(
            "generals_writer_buffered_bytes", "Bytes of records in open segments", ["destination"], registry=registry
        )


class TrainerMetrics:
    """The replay buffer and the learner."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.buffer_size = Gauge("generals_buffer_experiences", "Experiences in the buffer", registry=registry)
        self.buffer_capacity = Gauge("generals_buffer_capacity_experiences", "Room in the buffer", registry=registry)
        self.buffer_utilisation = Gauge(
            "generals_buffer_utilisation_ratio",
            "Share of the buffers' capacity that is in use, in rows",
            registry=registry,
        )
        self.buffer_bytes = Gauge("generals_buffer_bytes", "Memory of the buffer", registry=registry)
        self.inserted = Counter("generals_buffer_inserted", "Experiences put into the buffer", registry=registry)
        self.left_out = Counter(
            "generals_buffer_left_out", "Experiences read and not put in: too stale, or not to be learnt from",
            registry=registry,
        )  # fmt: skip
        self.overwritten = Counter("generals_buffer_overwritten", "Experiences the ring overwrote", registry=registry)
        self.sampled = Counter("generals_buffer_sampled", "Experiences drawn", registry=registry)
        self.staleness = ArrayHistogram(
            "generals_sample_staleness_versions", "Policy versions between a sample and the newest",
            bounds=(0, 1, 2, 4, 8, 16, 32, 64, 128), registry=registry,
        )  # fmt: skip
        self.steps = Counter("generals_trainer_steps", "Learner steps", registry=registry)
        self.step_seconds = Histogram(
            "generals_trainer_step_seconds", "Time of a learner step", buckets=LATENCIES_S, registry=registry
        )
        self.loss = Gauge("generals_trainer_loss", "Loss of the last step", registry=registry)
        self.td_error = Gauge("generals_trainer_td_error", "Mean absolute TD error of the last step", registry=registry)
        self.q_value = Gauge(
            "generals_trainer_q_value", "Mean value of the actions in the last step", registry=registry
        )
        self.gradient_norm = Gauge(
            "generals_trainer_gradient_norm", "Norm of the last step's gradient, before clipping", registry=registry
        )
        self.policy_version = Gauge("generals_published_policy_version", "Newest version published", registry=registry)
        self.checkpoint_seconds = Histogram(
            "generals_checkpoint_seconds", "Time to write a checkpoint", buckets=STORAGE_S, registry=registry
        )
        self.checkpoint_time = Gauge(
            "generals_checkpoint_timestamp_seconds", "When the last checkpoint was written", registry=registry
        )


class Metrics:
    """The groups over one registry; a group is registered when it is first taken."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    @cached_property
    def runtime(self) -> RuntimeMetrics:
        return RuntimeMetrics(self.registry)

    @cached_property
    def engine(self) -> EngineMetrics:
        return EngineMetrics(self.registry)

    @cached_property
    def collector(self) -> CollectorMetrics:
        return CollectorMetrics(self.registry)

    @cached_property
    def writer(self) -> WriterMetrics:
        return WriterMetrics(self.registry)

    @cached_property
    def trainer(self) -> TrainerMetrics:
        return TrainerMetrics(self.registry)


@cache
def default() -> Metrics:
    """The metrics of this process, with the process's own (CPU, memory, open files, garbage collection)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return Metrics(registry)


def describe() -> list[tuple[str, str, str, tuple[str, ...], str]]:
    """(service, name, type, labels, help) of every metric: the documentation is made from this."""
    rows = []
    for service in ("runtime", "engine", "collector", "writer", "trainer"):
        group = getattr(Metrics(CollectorRegistry()), service)
        for metric in vars(group).values():
            for family in metric.describe():
                labels = tuple(getattr(metric, "_labelnames", ()))
                name = f"{family.name}_total" if family.type == "counter" else family.name
                rows.append((service, name, family.type, labels, family.documentation))
    return rows
