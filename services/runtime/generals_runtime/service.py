"""The one loop of every service: signals, watchdog, health, and the order in which things end.

Shutdown is stop intake → flush → commit → close, and a lost partition takes the same path. In that order, because
- with intake stopped first, the work in hand is finite;
- a position may be committed only when everything up to it is delivered: flush comes before commit;
- clients are closed last: a closed one can neither flush nor commit.
A service's `stop()` does this. After a failure `stop()` is *not* called: what came after the last good commit is read
again by the successor, and a commit made now could be past something undelivered.

Exit codes: 0 stopped by SIGINT or SIGTERM or finished, 1 failed, 2 wrong settings, 3 stalled, or about to:
the time of day was set back.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol, TypeVar, runtime_checkable

import structlog

from generals_runtime import logs, memory, metrics, tracing
from generals_runtime.errors import OperatorError
from generals_runtime.health import HealthServer
from generals_runtime.settings import ObservabilitySettings, ServiceSettings, SettingsError, load
from generals_runtime.stop import Stop
from generals_runtime.watchdog import Watchdog

__all__ = ["Abortable", "Finished", "ReportsReadiness", "Service", "StartsSlowly", "Stop", "main", "run"]

CLEAN, FAILED, WRONG_SETTINGS = 0, 1, 2
_ONCE_S = 0.5
_EXIT_GRACE_S = 5.0
_FAILED_GRACE_S = 0.2  # nobody told the threads to end, so those that have not by now never will
S = TypeVar("S", bound=ServiceSettings)
_log = structlog.get_logger("generals_runtime.service")


class Finished(Exception):
    """Raised by `run_once` when there is nothing left to do: an orderly end, not a failure."""


class Service(Protocol):
    """What `run` needs of a service."""

    def start(self) -> None:
        """Connect and take up work. May block for seconds and raise."""

    def run_once(self, timeout_s: float) -> None:
        """Do a bounded amount of work, waiting at most about `timeout_s` for some. Its return is the sign of life.

        Raises Finished when all is done; anything else ends the process.
        """

    def stop(self) -> None:
        """Stop intake, flush, commit, close. Called once, after a signal or Finished, from the loop's thread."""


@runtime_checkable
class ReportsReadiness(Protocol):
    """A service that knows better than "started" whether it is ready."""

    def not_ready(self) -> str | None:
        """None when ready (assigned and progressing), else why not. Called from another thread; must not block."""


@runtime_checkable
class Abortable(Protocol):
    """A service with something to let go of after a failure."""

    def abort(self) -> None:
        """Release locks and children. Must not commit or acknowledge anything."""


@runtime_checkable
class StartsSlowly(Protocol):
    """A service whose start may take longer than a stall is allowed to: it calls `alive` as it gets on."""

    alive: Callable[[], None]


def run(
    service: Service,
    settings: ServiceSettings,
    *,
    stop: Stop | None = None,
    observed: metrics.Metrics | None = None,
) -> int:
    """Run until a signal, Finished or a failure; the exit code. A given `stop` replaces the signal handlers."""
    observability = settings.observability
    life = _Life(service, stop or Stop(), observability)
    with ExitStack() as stack:
        if stop is None:
            stack.callback(life.stop.on_signals())
        if observability.serves_http:
            stack.enter_context(_serve(life, observability, observed or metrics.default()))
        life.watchdog.start()
        stack.callback(life.watchdog.close)
        return life.live()


def _serve(life: _Life, observability: ObservabilitySettings, observed: metrics.Metrics) -> HealthServer:
    observed.runtime.idle_seconds.set_function(lambda: life.watchdog.idle_s)
    observed.runtime.ready.set_function(lambda: float(life.not_ready() is None))
    return HealthServer(
        observability.metrics_host,
        observability.metrics_port or 0,
        registry=observed.registry,
        not_live=life.not_live,
        not_ready=life.not_ready,
    )


class _Life:
    """One life of a service, and what its health checks see of it."""

    def __init__(self, service: Service, stop: Stop, limits: ObservabilitySettings) -> None:
        self.service, self.stop, self._limits = service, stop, limits
        self.watchdog = Watchdog(limits.stall_after_s)
        self._phase = "starting"

    def not_live(self) -> str | None:
        idle = self.watchdog.idle_s
        return None if idle < self._limits.stall_after_s else f"no progress for {idle:.0f} s while {self._phase}"

    def not_ready(self) -> str | None:
        if self._phase != "running":
            return self._phase
        return self.service.not_ready() if isinstance(self.service, ReportsReadiness) else None

    def live(self) -> int:
        try:
            self._work()
            self._phase = "stopping"
            self.watchdog.now("stopping", self._limits.stop_within_s)
            _log.info("stopping", reason=self.stop.reason)
            self.service.stop()
        except OperatorError as error:
            _log.error(str(error), error=type(error).__name__)
            return self._fail()
        except Exception:
            _log.exception("the service failed")
            return self._fail()
        _log.info("stopped")
        return CLEAN

    def _work(self) -> None:
        _log.info("starting")
        if isinstance(self.service, StartsSlowly):
            self.service.alive = self.watchdog.beat
        self.service.start()
        self._phase = "running"
        self.watchdog.now("running", self._limits.stall_after_s)
        _log.info("running")
        try:
            while not self.stop:
                self.service.run_once(_ONCE_S)
                self.watchdog.beat()
        except Finished as finished:
            self.stop.set(str(finished) or "finished")

    def _fail(self) -> int:
        self._phase = "failed"
        if isinstance(self.service, Abortable):
            try:
                self.service.abort()
            except Exception:
                _log.exception("letting go failed too")
        return FAILED


def main(
    settings_type: type[S],
    factory: Callable[[S], Service],
    *,
    name: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """All of a service's `__main__`: settings → logging → tracing → service → health → loop. Returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given:
        sys.stderr.write(f"python -m generals_{name} takes no arguments: it is configured by GENERALS_CONFIG (a YAML) ")
        sys.stderr.write("and GENERALS_* variables; see `generals config show`.\n")
        return CLEAN if given in (["-h"], ["--help"]) else WRONG_SETTINGS
    try:
        settings = load(settings_type)
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return WRONG_SETTINGS
    logs.configure(settings.observability, service=name, service_id=settings.service_id, settings=settings)
    tracing.configure(settings.observability.tracing, service=name, service_id=settings.service_id)
    try:
        service = factory(settings)
        gc.freeze()  # modules live as long as the process: without it, each full collection walks their 150,000 objects
        memory.give_back_now_and_then()
        code = run(service, settings)
    except OperatorError as error:
        _log.error(str(error), error=type(error).__name__)
        code = FAILED
    tracing.close()
    _end_even_if_threads_hang(code)
    return code


def _end_even_if_threads_hang(code: int) -> None:
    """The interpreter waits for non-daemon threads at its end; one that hangs shall not keep us."""

    def wait() -> None:
        while threading.main_thread().is_alive():
            time.sleep(0.2)
        time.sleep(_EXIT_GRACE_S if code == CLEAN else _FAILED_GRACE_S)
        os._exit(code)

    threading.Thread(target=wait, name="last-resort", daemon=True).start()
