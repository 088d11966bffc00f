"""The whole pipeline on this machine, as deployed, and readings of its counters. Used by `pipeline.py`.

Unusual: the engine is faster than what comes after it, and nothing makes it wait but a full disk. So it gets what time
the others leave (`nice`), and is held (SIGSTOP) while more than some eight seconds' work lies between it and the sinks,
where a deployment would play on.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from generals_console.processes import Child, Children
from generals_console.scrape import Scrape, scrape
from generals_engine.play_settings import CHUNK_TICKS
from generals_runtime.broker import EmbeddedBroker, free_port
from generals_runtime.kafka import ensure_topics
from generals_runtime.settings import KafkaSettings

SIDE, PLAYERS, PARTITIONS = 20, 2, 8
SERVICES = ("collector", "writer", "trainer", "engine")
START_WITHIN_S = DRAIN_WITHIN_S = 300.0
CONTROL_S = 1.0
LEAST_PRIORITY = 19


@dataclass(frozen=True)
class Reading:
    """Experiences counted at one moment, and CPU seconds by process.

    backlog: experiences played that are not in both sinks.
    """

    at_s: float
    played: float
    collected: float
    archived: float
    inserted: float
    backlog: float
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def in_both_sinks(self) -> float:
        return min(self.archived, self.inserted)


class Live:
    """The running pipeline. `most_backlog`: experiences that hold the engine."""

    def __init__(self, folder: Path, *, most_backlog: float) -> None:
        self.archive = folder / "archive"
        self.topic = ""
        self.held_s = 0.0
        self._folder, self._most_backlog = folder, most_backlog
        self._ports = {name: free_port() for name in SERVICES}
        self._running: dict[str, Child] = {}
        self._held = False
        self._last = dict.fromkeys(SERVICES, Scrape())

    @contextlib.contextmanager
    def running(self) -> Iterator["Live"]:
        """Broker and services, stopped at the end."""
        with EmbeddedBroker(self._folder / "kafka") as self._broker:
            kafka = KafkaSettings(bootstrap_servers=self._broker.bootstrap_servers)
            self.topic = kafka.topics().experiences.name
            ensure_topics(kafka, kafka.topics().with_partitions(PARTITIONS))
            config = self._folder / "pipeline.yaml"
            config.write_text(yaml.safe_dump(self._configuration(kafka)))
            with Children(self._folder / "logs", {"GENERALS_CONFIG": str(config)}) as self._children:
                for name, port in self._ports.items():
                    variables = {"GENERALS_OBSERVABILITY__METRICS_PORT": str(port)}
                    self._running[name] = self._children.start(name, f"generals_{name}", variables)
                psutil.Process(self._running["engine"].process.pid).nice(LEAST_PRIORITY)
                try:
                    yield self
                finally:
                    self._hold(False)

    def read(self) -> Reading:
        """One look at all services."""
        collector, writer, trainer, engine = map(self._scraped, SERVICES)
        chunks = collector.total("generals_chunks_total")
        collected = collector.total("generals_experiences_total")
        inserted = trainer.total("generals_buffer_inserted_total")
        sent = engine.total("generals_serialise_seconds_count")
        to_collect = max(0.0, sent - chunks)
        played = PLAYERS * engine.total("generals_ticks_total")
        to_store = max(0.0, chunks - writer.total("generals_records_consumed_total") / PLAYERS)
        return Reading(
            at_s=time.monotonic(),
            played=played,
            collected=collected,
            archived=writer.total("generals_archived_experiences_total"),
            inserted=inserted,
            backlog=max((to_collect + to_store) * played / max(1.0, sent), collected - inserted),
            cpu_s=self._cpu_seconds(),
        )

    def run_for(self, seconds: float) -> list[Reading]:
        """Let it run, holding the engine while too much lies in between. A reading a second: more would cost."""
        readings = [self.read()]
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            time.sleep(CONTROL_S)
            self._children.check()
            reading = self.read()
            if self._held:
                self.held_s += time.monotonic() - now
            self._hold(reading.backlog > self._most_backlog)
            readings.append(reading)
        return readings

    def wait_for_both_sinks(self) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + START_WITHIN_S
        while not self.run_for(0.5)[-1].in_both_sinks:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing came through in {START_WITHIN_S:.0f} s; see {self._folder / 'logs'}")

    def drain(self) -> Reading:
        """Stop the engine, wait until both sinks have all that was collected, stop the rest."""
        self._hold(False)
        self._children.stop("engine", timeout_s=60.0)
        deadline = time.monotonic() + DRAIN_WITHIN_S
        before, reading = -1.0, self.read()
        while not before == reading.collected == reading.inserted == reading.archived:
            if time.monotonic() > deadline:
                break
            time.sleep(3.0)
            before, reading = reading.collected, self.read()
        self._children.stop("collector", "writer", "trainer", timeout_s=30.0)
        return reading

    def _scraped(self, name: str) -> Scrape:
        """What a service says; what it said last, if it does not answer in time, as the engine while it is held."""
        if not (name == "engine" and self._held):
            found = scrape(self._ports[name])
            self._last[name] = found if found.samples else self._last[name]
        return self._last[name]

    def _hold(self, held: bool) -> None:
        if held != self._held:
            self._running["engine"].process.send_signal(signal.SIGSTOP if held else signal.SIGCONT)
            self._held = held

    def _cpu_seconds(self) -> dict[str, float]:
        pids = {"broker": self._broker.pid, "this program": os.getpid()}
        pids |= {name: child.process.pid for name, child in self._running.items() if child.running}
        times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items() if pid is not None}
        return {name: float(spent.user + spent.system) for name, spent in times.items()}

    def _configuration(self, kafka: KafkaSettings) -> dict[str, object]:
        return {
            "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
            "observability": {"log_format": "json"},
            "engine": {
                "games": 256, "width": SIDE, "height": SIDE, "chunk_ticks": CHUNK_TICKS, "tick_limit": 1000, "seed": 1,
                "policies": ["expander", "expander"], "ticks_per_second": None,
            },
            "writer": {
                "destinations": [{"name": "local", "url": str(self.archive)}],
                "rotation": {"open_seconds": 2.0, "idle_seconds": 1.0},
            },
            "trainer": {
                "run_dir": str(self._folder / "trainer"),
                "replay": {"capacity": 200_000, "warmup": 2_000_000_000},
                "samples_per_insert": None,
            },
        }  # fmt: skip
