"""The services of a chaos run as a supervisor keeps them: whoever ends, whyever, is started again.

A service that gives up by itself is no failure here: several do so by design, and a deployment starts them again. How
long it takes until a service works again after a fault is measured by its own counters: a counter that says work was
done, above what it said at the fault.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from generals_console.chaos_clocks import Clocks
from generals_console.chaos_reader import Saved
from generals_console.processes import Child, Children
from generals_console.scrape import scrape
from generals_runtime.broker import free_port

MODULES = {
    "engine": "generals_engine",
    "collector": "generals_collector",
    "writer": "generals_writer",
    "trainer": "generals_trainer",
    "reader": "generals_console.chaos_reader",
}
WORK = {
    "engine": "generals_records_produced_total",
    "collector": "generals_experiences_total",
    "writer": "generals_records_consumed_total",
    "trainer": "generals_buffer_inserted_total",
}
"""The counter that says that a service does its work. The reader's is in its file."""
RESTART_AFTER_S = 0.5


@dataclass(slots=True)
class Member:
    """One process of a service, which may be started again many times.

    waiting: the moments of the faults that it has not recovered from.  base: its counter then.
    """

    name: str
    service: str
    port: int
    child: Child
    frozen: bool = False
    restart_at: float | None = None
    waiting: list[float] = field(default_factory=list)
    base: float = 0.0

    def send(self, number: signal.Signals) -> None:
        if self.child.running:
            os.kill(self.child.process.pid, number)


class Fleet:
    """All members. `step` is to be called often: it starts who has ended and notes who works again.

    clocks: None where they cannot be stepped.
    recoveries: seconds, by service.  gave_up: how often a process ended by itself, by service and exit code.
    """

    def __init__(self, children: Children, state: Path, seed: Callable[[], int], clocks: Clocks | None = None) -> None:
        self._children = children
        self._clocks = clocks
        self._state = state
        self._seed = seed
        self._members: dict[str, Member] = {}
        self._started: dict[str, int] = {}
        self.recoveries: dict[str, list[float]] = {}
        self.gave_up: dict[str, int] = {}

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def of(self, service: str) -> list[Member]:
        return [member for member in self._members.values() if member.service == service]

    def add(self, service: str) -> Member:
        """Start one more process of a service."""
        number = self._started.get(service, 0)
        self._started[service] = number + 1
        name, port = f"{service}-{number}", free_port()
        member = Member(name, service, port, self._start(name, service, port))
        self._members[name] = member
        return member

    def remove(self, member: Member, timeout_s: float = 20.0) -> None:
        """Stop one in order, for good."""
        self._members.pop(member.name, None)
        self.thaw(member)
        self._children.stop(member.name, timeout_s=timeout_s)

    def kill(self, member: Member) -> None:
        self.expect_recovery(member)
        member.base = self._base_of_new(member)
        member.send(signal.SIGKILL)
        member.child.process.wait()
        member.frozen = False
        member.restart_at = time.monotonic() + RESTART_AFTER_S

    def freeze(self, member: Member) -> None:
        self.expect_recovery(member)
        member.send(signal.SIGSTOP)
        member.frozen = True

    def thaw(self, member: Member) -> None:
        member.send(signal.SIGCONT)
        member.frozen = False

    def step_clock(self, member: Member, by_s: float) -> None:
        """From now on its clock is wrong by so much; 0 sets it right, which is a jump too."""
        if self._clocks is None:
            raise ValueError("there are no clocks to step")
        self.expect_recovery(member)
        self._clocks.step(member.name, by_s)

    def expect_recovery(self, member: Member, since: float | None = None) -> None:
        """From now on its work is watched; it has recovered when it does some."""
        if not member.frozen:
            member.base = self.work(member)
        member.waiting.append(time.monotonic() if since is None else since)

    def work(self, member: Member) -> float:
        """How much it has done since it was started."""
        if member.service == "reader":
            return float(Saved.read(self._state).counts.experiences)
        return scrape(member.port).total(WORK[member.service])

    def step(self) -> None:
        """Start again who has ended; note who works again."""
        now = time.monotonic()
        for member in self.members:
            if not member.child.running:
                self._restart(member, now)
            elif member.waiting and not member.frozen and self.work(member) > member.base:
                found = self.recoveries.setdefault(member.service, [])
                found += [time.monotonic() - since for since in member.waiting]
                member.waiting.clear()

    @property
    def not_recovered(self) -> list[str]:
        return sorted(member.name for member in self.members if member.waiting)

    def _restart(self, member: Member, now: float) -> None:
        if member.restart_at is None:  # nobody killed it
            reason = f"{member.service}, exit code {member.child.process.returncode}"
            self.gave_up[reason] = self.gave_up.get(reason, 0) + 1
            member.restart_at = now + RESTART_AFTER_S
            member.waiting.append(now)
            member.base = self._base_of_new(member)
        elif now >= member.restart_at:
            member.restart_at = None
            member.child = self._start(member.name, member.service, member.port)

    def _base_of_new(self, member: Member) -> float:
        """A new process counts from nothing; the reader goes on with its file."""
        return self.work(member) if member.service == "reader" else 0.0

    def _start(self, name: str, service: str, port: int) -> Child:
        environment = {"GENERALS_OBSERVABILITY__METRICS_PORT": str(port), "GENERALS_SERVICE_ID": name}
        if self._clocks is not None:
            environment.update(self._clocks.environment(name))
        if service == "engine":
            environment["GENERALS_ENGINE__SEED"] = str(self._seed())
        if service == "reader":
            return self._children.launch(name, [sys.executable, "-m", MODULES[service], str(self._state)], environment)
        return self._children.start(name, MODULES[service], environment)
