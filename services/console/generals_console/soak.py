"""Soak: services run for a long time at a gentle pace, and nothing of theirs may grow: memory, open files, lag, disk.

Kafka keeps a bounded number of bytes here, so that hours fit on a disk. What is read is what the services say of
themselves at their metrics addresses, and what lies in their folders, except for the archive, which is there to grow;
a service that ends by itself ends the soak. That nothing is lost is for `generals chaos` and `generals audit` to prove.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from generals_console.chaos_fleet import MODULES, WORK
from generals_console.processes import Children
from generals_console.scrape import Scrape, scrape
from generals_console.stopping import StopFlag
from generals_console.topics import group_lags
from generals_console.trend import Trend, trend
from generals_runtime.broker import EmbeddedBroker, free_port
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import KafkaUnavailable, ensure_topics
from generals_runtime.settings import KafkaSettings
from generals_schemas.topics import Topics, TopicSpec

SERVICES = ("collector", "writer", "trainer", "engine")
FED_BY = {"collector": "engine", "writer": "collector", "trainer": "collector"}
"""Without whom a service has nothing to do."""
GROUPS = {"collector": "generals-collector", "writer": "generals-writer-local", "trainer": "trainer"}
PARTITIONS = 4
RETENTION = {"retention.bytes": str(48 << 20), "segment.bytes": str(12 << 20)}
"""Of a partition of play. Kafka deletes whole segments, so it holds up to one more."""

SMALL_RETENTION = {"retention.bytes": str(1 << 20), "segment.bytes": str(1 << 20)}
"""Of the other topics, which would take hours to fill as much and look like growth until then."""
BROKER_SETTINGS = {"log.retention.check.interval.ms": "15000"}
MIB = 1 << 20
BLOCK = 512
"""Bytes, in `st_blocks`."""
UNSEEN_SHARE = {"memory": 0.1, "open files": 0.1, "lag": 1.0, "disk": 1.0}
"""What may stay hidden in a series' noise, as a share of its peak an hour. With more it cannot tell: two minutes of
memory would hide a leak of gigabytes a day. Lag and disk go up and down by most of what they are."""
STEP_S = 0.5
ALL_WORK_WITHIN_S = 180.0

Say = Callable[[str], None]
Verdict = Literal["flat", "grows", "too noisy to tell", "too short to tell"]


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """What a person may choose. games: side by side on boards of `side` x `side`, all at `ticks_per_second`."""

    minutes: float = 120.0
    services: tuple[str, ...] = SERVICES
    games: int = 64
    side: int = 16
    ticks_per_second: float = 10_000.0
    seed: int = 1
    sample_every_s: float = 5.0
    run_dir: Path = Path("runs/soak")


@dataclass(slots=True)
class Series:
    """A figure over time, such as `memory of the engine` in MiB; `values[i]` was read at `at_s[i]`."""

    unit: str
    at_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SoakResult:
    """What was seen. games_running: the fewest at any sample.  trends: of the series long enough to have one."""

    minutes: float
    ticks: int
    games_running: int
    series: dict[str, Series]
    trends: dict[str, Trend]

    def verdict(self, name: str) -> Verdict:
        """Of one series."""
        found = self.trends.get(name)
        if found is None:
            return "too short to tell"
        if found.grows:
            return "grows"
        return "too noisy to tell" if found.hides(UNSEEN_SHARE[kind_of(name)]) else "flat"

    def named(self, verdict: Verdict) -> list[str]:
        """The series of which this is the verdict."""
        return [name for name in self.series if self.verdict(name) == verdict]

    @property
    def passed(self) -> bool:
        """There are series, and each is known to be flat."""
        return bool(self.series) and self.named("flat") == list(self.series)

    def to_json(self) -> dict[str, Any]:
        verdicts = {name: asdict(found) | {"flat": self.verdict(name) == "flat"} for name, found in self.trends.items()}
        return asdict(self) | {
            "trends": verdicts,
            "growing": self.named("grows"),
            "too_noisy": self.named("too noisy to tell"),
            "too_short": self.named("too short to tell"),
            "passed": self.passed,
        }


def kind_of(name: str) -> str:
    """What a series is of: memory, open files, lag or disk."""
    return name.partition(" of ")[0]


def run_soak(options: SoakOptions, stop: StopFlag, say: Say = lambda _: None) -> SoakResult:
    """Run the services on a Kafka of their own for as long as asked, sampling.

    Raises:
        Stopped: `stop` was set; all processes have ended.
        OperatorError: a service did not come to work, or ended by itself.
    """
    run_dir = options.run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        say("starting Apache Kafka")
        broker = stack.enter_context(EmbeddedBroker(run_dir / "kafka", settings=BROKER_SETTINGS))
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(kafka, _bounded(kafka.topics().with_partitions(PARTITIONS)))
        config = run_dir / "soak.yaml"
        config.write_text(yaml.safe_dump(_configuration(options, kafka, run_dir), sort_keys=False), encoding="utf-8")
        children = stack.enter_context(Children(run_dir / "logs", {"GENERALS_CONFIG": str(config)}))
        soak = _Soak(options, kafka, children, stop)
        say(f"starting {', '.join(options.services)}")
        soak.start()
        say(f"all at work; {options.minutes:g} minutes at {options.ticks_per_second:,.0f} ticks a second")
        soak.watch(say)
        return soak.result()


class _Soak:
    """One run."""

    def __init__(self, options: SoakOptions, kafka: KafkaSettings, children: Children, stop: StopFlag) -> None:
        self._options, self._kafka, self._children, self._stop = options, kafka, children, stop
        self._folders = {"Kafka": options.run_dir / "kafka"}
        if "trainer" in options.services:
            self._folders["the trainer"] = options.run_dir / "trainer"
        self._ports: dict[str, int] = {}
        self._series = awaited(options.services, list(self._folders))
        self._games: list[int] = []
        self._first_ticks = self._ticks = 0

    def start(self) -> None:
        """Start the services in their order and wait until each has done some work."""
        for service in self._options.services:
            port = self._ports[service] = free_port()
            self._children.start(service, MODULES[service], {"GENERALS_OBSERVABILITY__METRICS_PORT": str(port)})
        deadline = time.monotonic() + ALL_WORK_WITHIN_S
        while idle := [name for name, port in self._ports.items() if not scrape(port).total(WORK[name])]:
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"{', '.join(idle)}: no work done in {ALL_WORK_WITHIN_S:.0f} s; what they say is in "
                    f"{self._options.run_dir / 'logs'}"
                )
            self._wait(STEP_S)

    def watch(self, say: Say) -> None:
        """Sample until the time is over, with a word a minute."""
        begin = time.monotonic()
        due, next_word = begin, begin + 60
        while due <= begin + self._options.minutes * 60:
            self._wait(due - time.monotonic())
            self._sample(time.monotonic() - begin)
            due += self._options.sample_every_s
            if due >= next_word:
                next_word += 60
                sizes = [
                    f"{name} {one.values[-1]:,.0f}"
                    for name, one in self._series.items()
                    if one.unit == "MiB" and one.values
                ]
                say(f"{(due - begin) / 60:.0f} minutes, MiB: {', '.join(sizes)}")

    def result(self) -> SoakResult:
        found = {name: trend(one.at_s, one.values) for name, one in self._series.items()}
        return SoakResult(
            minutes=self._options.minutes,
            ticks=self._ticks - self._first_ticks,
            games_running=min(self._games, default=0),
            series=self._series,
            trends={name: one for name, one in found.items() if one is not None},
        )

    def _wait(self, seconds: float) -> None:
        self._children.check()
        self._stop.wait(max(0.0, seconds))

    def _sample(self, at_s: float) -> None:
        for service, port in self._ports.items():
            seen = scrape(port)
            if not seen.samples:  # too busy to answer in time; the next sample is not far
                continue
            self._note(f"memory of the {service}", "MiB", at_s, seen.total("process_resident_memory_bytes") / MIB)
            self._note(f"open files of the {service}", "", at_s, seen.total("process_open_fds"))
            if service == "engine":
                self._note_play(seen)
        lags: dict[str, float] = {}
        with suppress(KafkaUnavailable):  # too busy, as above
            for lag in group_lags(self._kafka):
                lags[lag.group] = lags.get(lag.group, 0.0) + lag.lag
        for group, behind in lags.items():
            self._note(f"lag of {group}", "records", at_s, behind)
        for owner, folder in self._folders.items():
            self._note(f"disk of {owner}", "MiB", at_s, _disk_used(folder) / MIB)

    def _note(self, name: str, unit: str, at_s: float, value: float) -> None:
        series = self._series.setdefault(name, Series(unit))
        series.at_s.append(round(at_s, 1))
        series.values.append(round(value, 2))

    def _note_play(self, seen: Scrape) -> None:
        self._games.append(round(seen.total("generals_games_running")))
        self._ticks = round(seen.total("generals_ticks_total"))
        self._first_ticks = self._first_ticks or self._ticks


def awaited(services: Sequence[str], folders: Sequence[str]) -> dict[str, Series]:
    """Every series that there must be. One that never comes, because its question always failed, stays empty: too short
    to tell."""
    series: dict[str, Series] = {}
    for service in services:
        series[f"memory of the {service}"] = Series("MiB")
        series[f"open files of the {service}"] = Series("")
    series |= {f"lag of {GROUPS[service]}": Series("records") for service in services if service in GROUPS}
    return series | {f"disk of {folder}": Series("MiB") for folder in folders}


def _bounded(topics: Topics) -> list[TopicSpec]:
    """Deleted from their old end, unless they are compacted: pointers to policies are few."""
    play = (topics.transitions, topics.experiences)
    return [
        spec
        if "compact" in spec.config.get("cleanup.policy", "")
        else replace(spec, config=spec.config | (RETENTION if spec in play else SMALL_RETENTION))
        for spec in topics
    ]


def _disk_used(folder: Path) -> int:
    """Bytes on the disk, which for Kafka's sparse index files is less than their size."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # deleted since it was listed
            total += path.stat().st_blocks * BLOCK
    return total


def _configuration(options: SoakOptions, kafka: KafkaSettings, run_dir: Path) -> dict[str, Any]:
    """The one YAML of all services: small segments and a small buffer, so that all sizes are reached in the warm-up."""
    return {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
        "observability": {"log_format": "json"},
        "engine": {
            "games": options.games,
            "width": options.side,
            "height": options.side,
            "ticks_per_second": options.ticks_per_second,
            "seed": options.seed,
        },
        "writer": {
            "destinations": [{"name": "local", "url": str(run_dir / "archive")}],
            "rotation": {"open_seconds": 20.0, "idle_seconds": 5.0},
        },
        "trainer": {
            "run_dir": str(run_dir / "trainer"),
            "replay": {"capacity": 50_000},
            "samples_per_insert": 0.02,
            "checkpoint_every_s": 20.0,
            "log_every_s": 0.5,
        },
    }
