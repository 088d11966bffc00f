"""Chaos: everything runs under load, faults strike everything, and at the end every experience is counted.

What is claimed is what the audit finds by brute force and by marks, for each archive, what a reader counted that was
killed and frozen like all the others, and what a trainer inserted in all its lives. Chunks in the memory of an engine
that is killed die with it: its games are `unfinished`, and the audit counts them apart.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from generals_console.archive_rows import archived_rows
from generals_console.audit import AuditReport, audit
from generals_console.chaos_clocks import Clocks, find_libfaketime
from generals_console.chaos_faults import Injector
from generals_console.chaos_fleet import Fleet
from generals_console.chaos_plan import CLOCK_JUMP, Fault, plan
from generals_console.chaos_reader import Counts, Saved
from generals_console.chaos_stores import CREDENTIALS, S3, SmallDisk, find_s3_server, small_disk
from generals_console.processes import Children
from generals_console.stopping import StopFlag
from generals_console.topics import lag_of
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.cluster import REPLICAS, bootstrap_servers, embedded_cluster
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import KafkaUnavailable, ensure_topics
from generals_runtime.settings import KafkaSettings

COLLECTOR_GROUP, WRITER_PREFIX = "generals-collector", "generals-writer"
PARTITIONS = 4
STEP_S = 0.25
ALL_WORK_WITHIN_S = 120.0
RECOVER_WITHIN_S = 120.0
CATCH_UP_WITHIN_S = 900.0
"""For those that were struck last and have much before them, on a machine that is busy."""
DISK_MB, DISK_MB_PER_MINUTE = 192, 16

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """What a person may choose. s3, full_disk: None is as this machine allows."""

    minutes: float = 5.0
    seed: int = 1
    faults_per_minute: float = 8.0
    run_dir: Path = Path("runs/chaos")
    ticks_per_second: float = 800.0
    brokers: int = 1
    engines: int = 2
    collectors: int = 2
    writers: int = 1
    trainer: bool = False
    s3: bool | None = None
    full_disk: bool | None = None


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long a service took to work again after a fault, in seconds."""

    faults: int
    median_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """What happened. Counts are experiences where not said otherwise.

    lost: the largest `AuditReport.missing`.  faults: injected, by target and kind.  gave_up: processes that ended by
    themselves and were started again.
    reader_*: what the reader counted by itself.  trainer_experiences: inserted into its replay buffer in all its lives,
    None without a trainer.  left_out: kinds of faults that this machine does not allow, and why.
    """

    seed: int
    minutes: float
    faults: dict[str, int]
    experiences_emitted: int
    experiences_collected: int
    archived: dict[str, int]
    games_finished: int
    unfinished_games: int
    lost: int
    duplicates: int
    repeats_dropped: int
    pending: int
    rejected: int
    methods_agree: bool
    audits_clean: bool
    reader_experiences: int
    reader_missing: int
    reader_duplicates: int
    reader_repeats_dropped: int
    trainer_experiences: int | None
    recovery: dict[str, Recovery]
    not_recovered: list[str]
    gave_up: dict[str, int]
    left_out: dict[str, str]
    details: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing twice, all methods agree, everybody works again."""
        wrong = self.lost or self.duplicates or self.pending or self.reader_missing or self.reader_duplicates
        archives = all(count == self.experiences_collected for count in self.archived.values())
        agree = (
            self.methods_agree
            and self.audits_clean
            and self.reader_experiences == self.experiences_collected
            and self.trainer_experiences in (None, self.experiences_collected)
            and archives
        )
        return agree and not wrong and not self.not_recovered and self.experiences_collected > 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean, "faults_total": sum(self.faults.values())}


def run_chaos(options: ChaosOptions, stop: StopFlag, say: Say = lambda _: None) -> ChaosResult:
    """Start everything, strike for as long as asked, let it recover, drain, audit.

    Raises:
        Stopped: `stop` was set; all processes have ended.
        OperatorError: something could not even be started.
    """
    run_dir = options.run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_aws_credentials())
        say("starting Apache Kafka")
        brokers = stack.enter_context(embedded_cluster(run_dir / "kafka", options.brokers))
        kafka = KafkaSettings(
            bootstrap_servers=bootstrap_servers(brokers), replication_factor=min(REPLICAS, options.brokers)
        )
        ensure_topics(kafka, kafka.topics().with_partitions(PARTITIONS))
        config = run_dir / "chaos.yaml"
        children = stack.enter_context(Children(run_dir / "logs", {"GENERALS_CONFIG": str(config)}))
        stores = stack.enter_context(_stores(options, run_dir, children))
        config.write_text(yaml.safe_dump(_configuration(options, kafka, run_dir, stores), sort_keys=False))
        run = _Run(options, kafka, brokers, children, stores, stop, say, run_dir)
        run.start()
        run.strike()
        run.recover()
        run.drain()
        return run.audit()


@dataclass(slots=True)
class _Stores:
    """The archives: by destination, the address for the writer and the one for the audit; what can be made to fail."""

    writer_urls: dict[str, str]
    audit_urls: dict[str, str]
    s3: S3 | None
    disk: SmallDisk | None
    left_out: dict[str, str]


class _Run:
    """One run."""

    def __init__(
        self, options: ChaosOptions, kafka: KafkaSettings, brokers: list[EmbeddedBroker], children: Children,
        stores: _Stores, stop: StopFlag, say: Say, run_dir: Path,
    ) -> None:  # fmt: skip
        self._options, self._kafka, self._stores, self._stop, self._say = options, kafka, stores, stop, say
        self._reader_state = run_dir / "reader.json"
        self._reader_state.unlink(missing_ok=True)
        seeds = random.Random(options.seed + 1)
        library = find_libfaketime()
        self._clocks = Clocks(library, run_dir / "clocks") if library else None
        if library is None:
            stores.left_out["clock jumps"] = "needs libfaketime: pip install libfaketime"
        self._fleet = Fleet(children, self._reader_state, lambda: seeds.getrandbits(31), self._clocks)
        self._injector = Injector(self._fleet, brokers, stores.s3, stores.disk)
        self._faults: Counter[str] = Counter()

    def start(self) -> None:
        """Everybody up and at work."""
        options = self._options
        wanted = {
            "collector": options.collectors,
            "writer": options.writers,
            "reader": 1,
            "trainer": int(options.trainer),
            "engine": options.engines,
        }
        self._say("starting " + ", ".join(f"{count} × {name}" for name, count in wanted.items() if count))
        for service, count in wanted.items():
            for _ in range(count):
                self._fleet.expect_recovery(self._fleet.add(service))
        self._until(lambda: not self._fleet.not_recovered, ALL_WORK_WITHIN_S)
        if self._fleet.not_recovered:
            raise OperatorError(
                f"{', '.join(self._fleet.not_recovered)}: no work done in {ALL_WORK_WITHIN_S:.0f} s; "
                f"what they say is in {self._options.run_dir / 'logs'}"
            )
        self._fleet.recoveries.clear()

    def strike(self) -> None:
        """Inject the plan's faults when they are due."""
        options = self._options
        targets = ["engine", "collector", "writer", "reader", "broker"]
        targets += ["trainer"] if options.trainer else []
        targets += ["s3"] if self._stores.s3 else []
        targets += ["disk"] if self._stores.disk else []
        without = () if self._clocks else (CLOCK_JUMP,)
        faults = plan(options.seed, options.minutes * 60, options.faults_per_minute, targets, without)
        self._say(f"everybody works; {len(faults)} faults in {options.minutes:g} minutes, seed {options.seed}")
        begin = time.monotonic()
        for fault in faults:
            self._until(lambda due=begin + fault.at_s: time.monotonic() >= due, float("inf"))  # type: ignore[misc]
            self._inject(fault, time.monotonic() - begin)
        self._until(lambda: time.monotonic() >= begin + options.minutes * 60, float("inf"))

    def _inject(self, fault: Fault, at_s: float) -> None:
        whom = self._injector.inject(fault)
        self._faults[f"{fault.target}: {fault.kind}"] += 1
        lasting = f" for {fault.lasts_s:.1f} s" if fault.lasts_s else ""
        jump = f" by {fault.jump_s:+.0f} s" if fault.jump_s else ""
        self._say(f"{at_s:5.0f} s  {whom}: {fault.kind}{jump}{lasting}")

    def recover(self) -> None:
        """Wait until all faults are over and everybody works."""
        self._say("the last fault was injected; waiting for everybody to recover")
        self._until(lambda: not self._injector.busy, RECOVER_WITHIN_S)
        self._until(lambda: not self._fleet.not_recovered, RECOVER_WITHIN_S)

    def drain(self) -> None:
        """Stop the engines, wait until all that they emitted has come through."""
        self._say("stopping the engines; the others finish what is in the log")
        for engine in self._fleet.of("engine"):
            self._fleet.remove(engine, timeout_s=40.0)
        self._until(self._drained, CATCH_UP_WITHIN_S)
        for member in self._fleet.members:
            if member.service not in ("reader", "trainer"):
                self._fleet.remove(member)

    def audit(self) -> ChaosResult:
        self._say("auditing: every experience, by marks and by brute force")
        experiences = self._kafka.topics().experiences.name
        reports = {
            name: audit(
                self._kafka,
                collector_group=COLLECTOR_GROUP,
                archive=lambda url=url: archived_rows(url, experiences),  # type: ignore[misc]
            )
            for name, url in self._stores.audit_urls.items()
        }
        collected = next(iter(reports.values())).experiences_collected
        self._until(lambda: min([self._reader().experiences, *self._inserted()]) >= collected, CATCH_UP_WITHIN_S)
        return self._result(reports)

    def _reader(self) -> Counts:
        return Saved.read(self._reader_state).counts

    def _inserted(self) -> list[int]:
        """What the trainer has inserted in all its lives, if there is a trainer."""
        return [round(self._fleet.work(trainer)) for trainer in self._fleet.of("trainer")]

    def _drained(self) -> bool:
        """Whether collectors and writers have committed everything. Asks the broker, so not too often."""
        self._stop.wait(1.0)
        groups = {COLLECTOR_GROUP, *(f"{WRITER_PREFIX}-{name}" for name in self._stores.writer_urls)}
        try:
            return lag_of(self._kafka, groups) == 0
        except KafkaUnavailable:
            return False

    def _until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Supervise until a condition holds."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._fleet.step()
            self._injector.step()
            self._stop.wait(STEP_S)
        return True

    def _result(self, reports: dict[str, AuditReport]) -> ChaosResult:
        first, reader = next(iter(reports.values())), self._reader()
        return ChaosResult(
            seed=self._options.seed,
            minutes=self._options.minutes,
            faults=dict(sorted(self._faults.items())),
            experiences_emitted=first.experiences_emitted,
            experiences_collected=first.experiences_collected,
            archived={name: report.experiences_archived or 0 for name, report in reports.items()},
            games_finished=first.games_finished,
            unfinished_games=first.unfinished_games,
            lost=max(r.missing for r in reports.values()),
            duplicates=max(r.duplicates for r in reports.values()),
            repeats_dropped=first.repeats,
            pending=max(r.pending for r in reports.values()),
            rejected=first.rejected,
            methods_agree=all(r.methods_agree for r in reports.values()),
            audits_clean=all(r.clean for r in reports.values()),
            reader_experiences=reader.experiences,
            reader_missing=reader.missing + reader.lost_chunks,
            reader_duplicates=reader.duplicates,
            reader_repeats_dropped=reader.repeats,
            trainer_experiences=next(iter(self._inserted()), None),
            recovery={
                service: Recovery(len(times), round(median(times), 1), round(max(times), 1))
                for service, times in sorted(self._fleet.recoveries.items())
            },
            not_recovered=self._fleet.not_recovered,
            gave_up=dict(sorted(self._fleet.gave_up.items())),
            left_out=self._stores.left_out,
            details=[f"{name}: {detail}" for name, report in reports.items() for detail in report.details],
        )


@contextmanager
def _stores(options: ChaosOptions, run_dir: Path, children: Children) -> Iterator[_Stores]:
    """The archives, with what can be made to fail about them."""
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        folder = run_dir / "archive"
        disk = None
        if options.full_disk is not False:
            size = DISK_MB + round(DISK_MB_PER_MINUTE * options.minutes)
            disk = stack.enter_context(small_disk(folder, size))
        if disk is None:
            left_out["full disk"] = "needs root and a tmpfs that may be mounted"
        urls = {"local": str(folder)}
        s3 = None
        server = find_s3_server() if options.s3 is not False else None
        if server is not None:
            s3 = S3(server, run_dir / "s3", children)
            s3.start()
            stack.callback(s3.stop)
        else:
            left_out["S3 failures"] = "no S3 server: neither versitygw on PATH nor moto, or not asked for"
        for wanted, found, what in ((options.s3, s3, "S3 failures"), (options.full_disk, disk, "full disk")):
            if wanted and found is None:
                raise OperatorError(f"{what} were asked for: {left_out[what]}")
        yield _Stores(
            urls | ({"s3": s3.url} if s3 else {}), urls | ({"s3": s3.true_url} if s3 else {}), s3, disk, left_out
        )


def _configuration(options: ChaosOptions, kafka: KafkaSettings, run_dir: Path, stores: _Stores) -> dict[str, Any]:
    """The one YAML of all services: small segments and short sessions, so that much happens in little time."""
    return {
        "kafka": {
            "bootstrap_servers": kafka.bootstrap_servers,
            "replication_factor": kafka.replication_factor,
        },
        "observability": {"log_format": "json", "stop_within_s": 15.0, "stall_after_s": 60.0},
        "engine": {
            "games": 32,
            "width": 10,
            "height": 10,
            "tick_limit": 300,
            "chunk_ticks": 16,
            "ticks_per_second": options.ticks_per_second / options.engines,
        },
        "collector": {"group": COLLECTOR_GROUP, "flow": {"session_timeout_s": 6.0}},
        "writer": {
            "destinations": [{"name": name, "url": url} for name, url in stores.writer_urls.items()],
            "group_prefix": WRITER_PREFIX,
            "rotation": {"records": 500, "open_seconds": 4.0, "idle_seconds": 1.0},
        },
        "trainer": {"run_dir": str(run_dir / "trainer"), "samples_per_insert": 0.05, "checkpoint_every_s": 5.0},
    }


@contextmanager
def _aws_credentials() -> Iterator[None]:
    """Those of our own S3 server, for us and our children."""
    before = {name: os.environ.get(name) for name in (*CREDENTIALS, "AWS_EC2_METADATA_DISABLED")}
    os.environ.update(CREDENTIALS, AWS_EC2_METADATA_DISABLED="true")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
