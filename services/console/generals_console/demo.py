"""`generals demo`: the whole pipeline on this machine for a while, then the proof that nothing was lost.

Everything is real: an Apache Kafka started from its jars (or the one that is configured), and the same four services
that a deployment runs, as processes of their own.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from generals_console.archive_rows import archived_rows
from generals_console.audit import AuditReport, audit
from generals_console.learning import read_history
from generals_console.live import View
from generals_console.processes import Children
from generals_console.report import write_report
from generals_console.stages import Reading, read_stages
from generals_console.stopping import StopFlag
from generals_console.topics import lag_of
from generals_console.watcher import GameWatcher
from generals_runtime.broker import EmbeddedBroker, free_port
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import ensure_topics
from generals_runtime.settings import KafkaSettings
from generals_runtime.settings_sources import PREFIX

SERVICES = {
    "collector": "generals_collector",
    "writer": "generals_writer",
    "trainer": "generals_trainer",
    "engine": "generals_engine",
    "player": "generals_engine",
}
"""The player is an engine whose games the trainer's newest published policy plays."""
PLAYER = {
    "GENERALS_ENGINE__POLICIES": '["generals_engine.trained:newest", "expander"]',
    "GENERALS_ENGINE__WORKER": "1",
    "GENERALS_ENGINE__GAMES": "8",
    "GENERALS_ENGINE__TICKS_PER_SECOND": "100",
}
MAX_STALENESS = 20
COLLECTOR_GROUP = "generals-collector"
WRITER_GROUP = "generals-writer-local"
PARTITIONS = 4
TICK_LIMIT = 500
REFRESH_S = 0.25
SCRAPE_S = 1.0
START_WITHIN_S = 180.0
DRAIN_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person may choose. `ticks_per_second` keeps two cores from drowning; None is as fast as it goes."""

    seconds: float = 60.0
    run_dir: Path = Path("runs/demo")
    seed: int = 1
    games: int = 64
    size: int = 12
    ticks_per_second: int | None = 2000


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What happened. Counts are distinct experiences where not said otherwise.

    lost: `AuditReport.missing`.  pending: still on its way when the services were stopped.
    staleness_p99: policy versions between the learner's own experiences and the newest when they were sampled, the
    largest 99th percentile reported; None if none was sampled.  staleness_limit: those further behind are left out.
    """

    games_finished: int
    unfinished_games: int
    experiences_emitted: int
    experiences_collected: int
    experiences_archived: int
    experiences_inserted: int
    experiences_left_out: int
    lost: int
    pending: int
    duplicates: int
    rejected: int
    trainer_steps: int
    samples_per_insert: float | None
    samples_per_insert_target: float | None
    staleness_p99: float | None
    staleness_limit: int
    seconds: float
    archive_dir: str
    report: str
    clean: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_demo(options: DemoOptions, kafka: KafkaSettings | None, view: View, stop: StopFlag) -> DemoResult:
    """Start everything, play, drain, audit, report.

    kafka: a broker to use; None starts an embedded one.

    Raises:
        Stopped: `stop` was set; all processes have ended.
        ServiceDied, BrokerError, KafkaUnavailable: told with the end of the log.
    """
    run_dir = options.run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if kafka is None:
            view.say("starting Apache Kafka")
            broker = stack.enter_context(EmbeddedBroker(run_dir / "kafka"))
            kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        # Each run has topics of its own, so that a broker which is used again holds no older games.
        kafka = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}demo-{run_dir.name}."})
        stop.check()
        ensure_topics(kafka, kafka.topics().with_partitions(PARTITIONS))
        demo = _Demo(options, run_dir, kafka, view, stop)
        stack.enter_context(demo.children)
        readings = demo.play()
        last = demo.drain()
        demo.children.stop("collector", "writer", "trainer")
        view.say("auditing: every experience of every game, by marks and by brute force")
        report = audit(
            kafka,
            collector_group=COLLECTOR_GROUP,
            archive=lambda: archived_rows(demo.archive, kafka.topics().experiences.name),
        )
        picture = write_report(run_dir, kafka, [*readings, last], report)
    return _result(report, last, demo.archive, picture, readings, read_history(run_dir / "trainer"))


class _Demo:
    """One run: its services and their ports."""

    def __init__(self, options: DemoOptions, run_dir: Path, kafka: KafkaSettings, view: View, stop: StopFlag) -> None:
        self.archive = run_dir / "archive"
        self._options, self._kafka, self._view, self._stop = options, kafka, view, stop
        self._ports = {name: free_port() for name in SERVICES}
        config = run_dir / "demo.yaml"
        config.write_text(yaml.safe_dump(_configuration(options, run_dir, kafka, self.archive), sort_keys=False))
        self._logs = run_dir / "logs"
        self.children = Children(self._logs, {"GENERALS_CONFIG": str(config), **_secrets(kafka)})

    def play(self) -> list[Reading]:
        """Start all services and watch them for as long as was asked for. The readings, about one a second."""
        for name, module in SERVICES.items():
            self._view.say(f"starting the {name}")
            own = PLAYER if name == "player" else {}
            self.children.start(name, module, {"GENERALS_OBSERVABILITY__METRICS_PORT": str(self._ports[name]), **own})
        readings = [self.read()]
        watcher = GameWatcher(self._kafka, self._kafka.topics().transitions.name)
        try:
            self._wait_for_all_stages(readings)
            self._view.say(
                f"every stage works: played, collected, archived, inserted; playing for {self._options.seconds:.0f} s"
            )
            end = time.monotonic() + self._options.seconds
            while time.monotonic() < end:
                self._look(readings)
                before = readings[-6] if len(readings) > 5 else readings[0]
                self._view.show(readings[-1], before, end - time.monotonic(), watcher.step())
                self._stop.wait(REFRESH_S)
        finally:
            watcher.close()
        return readings

    def drain(self) -> Reading:
        """Stop the engine, then wait until everything it emitted has come through every stage. The last reading."""
        self._view.say("play is over: stopping the engines, the others finish what is in the log")
        self.children.stop("engine", "player", timeout_s=30.0)
        deadline = time.monotonic() + DRAIN_WITHIN_S
        while True:
            reading = self.read()
            if (reading.trainer_has_all and self._committed()) or time.monotonic() > deadline:
                return reading
            self.children.check()
            self._stop.wait(REFRESH_S)

    def read(self) -> Reading:
        return read_stages(self._ports)

    def _committed(self) -> bool:
        """Whether the collector and the writer have committed everything."""
        return lag_of(self._kafka, {COLLECTOR_GROUP, WRITER_GROUP}) == 0

    def _wait_for_all_stages(self, readings: list[Reading]) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            self._look(readings)
            newest = readings[-1]
            if newest.collected and newest.archived and newest.inserted:
                return
            self._stop.wait(REFRESH_S)
        raise OperatorError(
            f"after {START_WITHIN_S:.0f} s not all stages work: {readings[-1].ticks:,} ticks played, "
            f"{readings[-1].collected:,} experiences collected, {readings[-1].archived:,} archived, "
            f"{readings[-1].inserted:,} inserted; what the services say is in {self._logs}"
        )

    def _look(self, readings: list[Reading]) -> None:
        self.children.check()
        if time.monotonic() - readings[-1].at_s >= SCRAPE_S:
            readings.append(self.read())


def _configuration(options: DemoOptions, run_dir: Path, kafka: KafkaSettings, archive: Path) -> dict[str, Any]:
    """The one YAML of all services: what the demo wants differently from the defaults. Secrets are not in it."""
    secret = {name for name, value in kafka if isinstance(value, SecretStr)}
    return {
        "kafka": kafka.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude=secret),
        "observability": {"log_format": "json", "stop_within_s": 8.0},
        "engine": {
            "seed": options.seed,
            "workers": 2,
            "games": options.games,
            "width": options.size,
            "height": options.size,
            "tick_limit": TICK_LIMIT,
            "ticks_per_second": options.ticks_per_second,
        },
        "collector": {"group": COLLECTOR_GROUP},
        # Small segments, so that the archive can be looked at while it grows.
        "writer": {
            "destinations": [{"name": "local", "url": str(archive)}],
            "rotation": {"open_seconds": 15.0, "idle_seconds": 2.0},
        },
        # A learner that two cores can afford beside everything else.
        "trainer": {
            "run_dir": str(run_dir / "trainer"),
            "samples_per_insert": 0.1,
            "publish_every_s": 5.0,
            "max_staleness": MAX_STALENESS,
            "checkpoint_every_s": 15.0,
            "log_every_s": 2.0,
        },
    }


def _secrets(kafka: KafkaSettings) -> dict[str, str]:
    """The passwords, as the variables that hand them to the services: in a file of the run's folder they would stay."""
    return {
        f"{PREFIX}KAFKA__{name.upper()}": value.get_secret_value()
        for name, value in kafka
        if isinstance(value, SecretStr)
    }


def _result(
    report: AuditReport,
    last: Reading,
    archive: Path,
    picture: Path,
    readings: list[Reading],
    history: Sequence[Mapping[str, Any]],
) -> DemoResult:
    trainer = history[-1] if history else {}
    return DemoResult(
        games_finished=report.games_finished,
        unfinished_games=report.unfinished_games,
        experiences_emitted=report.experiences_emitted,
        experiences_collected=report.experiences_collected,
        experiences_archived=report.experiences_archived or 0,
        experiences_inserted=last.inserted,
        experiences_left_out=last.left_out,
        lost=report.missing,
        pending=report.pending,
        duplicates=report.duplicates,
        rejected=report.rejected,
        trainer_steps=trainer.get("trainer_steps", last.trainer_steps),
        samples_per_insert=trainer.get("samples_per_insert"),
        samples_per_insert_target=trainer.get("samples_per_insert_target"),
        staleness_p99=max((row["staleness_p99"] for row in history if "staleness_p99" in row), default=None),
        staleness_limit=MAX_STALENESS,
        seconds=round(readings[-1].at_s - readings[0].at_s, 1),
        archive_dir=str(archive),
        report=str(picture),
        clean=report.clean and not report.pending and last.inserted + last.left_out == report.experiences_collected,
    )
