"""How each kind of fault is done, and undone when its time is over.

Processes are struck from the loop's own thread: the kernel ends a child when the thread that started it ends. Brokers,
S3 and disk have a thread each, since to start a broker again takes seconds; each takes one fault after the other.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from generals_console.chaos_fleet import Fleet, Member
from generals_console.chaos_plan import CLOCK_JUMP, Fault
from generals_console.chaos_stores import S3, SmallDisk
from generals_runtime.broker import EmbeddedBroker

BROKER_START_S = 120.0


@dataclass(slots=True)
class _Ending:
    """What is to be done when a fault's time is over."""

    at: float
    undo: Callable[[], None]


@dataclass(slots=True)
class _Job:
    """A fault in a thread of its own; since: when it began."""

    future: "Future[None]"
    since: float
    stops_all: bool


class Injector:
    """Does faults. `step` is to be called often: it ends those whose time is over."""

    def __init__(self, fleet: Fleet, brokers: list[EmbeddedBroker], s3: S3 | None, disk: SmallDisk | None) -> None:
        self._fleet, self._brokers, self._s3, self._disk = fleet, brokers, s3, disk
        self._endings: list[_Ending] = []
        self._jobs: list[_Job] = []
        self._threads = {name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("broker", "s3", "disk")}

    @property
    def busy(self) -> bool:
        """Whether a fault is still going on."""
        return bool(self._endings or self._jobs)

    def inject(self, fault: Fault) -> str:
        """Begin a fault; who was struck."""
        if fault.target in self._threads:
            begin = self._job(fault)
            future = self._threads[fault.target].submit(begin)
            self._jobs.append(_Job(future, time.monotonic(), fault.target == "broker"))
            return fault.target
        if fault.kind == "scale up and down":
            member = self._fleet.add(fault.target)
            self._fleet.expect_recovery(member)
            self._end(fault.lasts_s, lambda: self._fleet.remove(member))
            return member.name
        return self._strike(fault).name

    def step(self) -> None:
        """End what is over. Raises what failed in a thread."""
        now = time.monotonic()
        for ending in [ending for ending in self._endings if ending.at <= now]:
            self._endings.remove(ending)
            ending.undo()
        for job in [job for job in self._jobs if job.future.done()]:
            self._jobs.remove(job)
            job.future.result()
            if job.stops_all:  # everybody needs the brokers: each has to show that it works again
                for member in self._fleet.members:
                    self._fleet.expect_recovery(member, job.since)

    def _strike(self, fault: Fault) -> Member:
        members = self._fleet.of(fault.target)
        member = members[int(fault.pick * len(members))]
        if fault.kind == "kill -9":
            self._fleet.kill(member)
        elif fault.kind == CLOCK_JUMP:
            self._fleet.step_clock(member, fault.jump_s)
            self._end(fault.lasts_s, lambda: self._fleet.step_clock(member, 0.0))
        else:
            self._fleet.freeze(member)
            self._end(fault.lasts_s, lambda: self._fleet.thaw(member))
        return member

    def _end(self, after_s: float, undo: Callable[[], None]) -> None:
        self._endings.append(_Ending(time.monotonic() + after_s, undo))

    def _job(self, fault: Fault) -> Callable[[], None]:
        if fault.target == "broker":
            return lambda: self._strike_broker(fault)
        if fault.target == "s3" and self._s3 is not None:
            s3 = self._s3
            return lambda: _for_a_while(lambda: s3.fail(fault.kind), lambda: s3.fail(""), fault.lasts_s)
        if fault.target == "disk" and self._disk is not None:
            disk = self._disk
            return lambda: _for_a_while(disk.fill, disk.free, fault.lasts_s)
        raise ValueError(f"there is no {fault.target} to strike")

    def _strike_broker(self, fault: Fault) -> None:
        broker = self._brokers[int(fault.pick * len(self._brokers))]
        if fault.kind == "freeze":
            pid = broker.pid
            _for_a_while(lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT), fault.lasts_s)
            return
        if fault.kind == "kill -9":
            broker.kill()
        else:
            broker.stop()
        time.sleep(fault.lasts_s)
        broker.start(BROKER_START_S)


def _for_a_while(begin: Callable[[], None], end: Callable[[], None], seconds: float) -> None:
    try:
        begin()
        time.sleep(seconds)
    finally:
        end()
