"""The loop of every service: the order of its life, its exit codes, its health."""

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from generals_runtime.broker import free_port
from generals_runtime.errors import OperatorError
from generals_runtime.health import HealthServer, PortTaken
from generals_runtime.metrics import Metrics
from generals_runtime.service import Finished, Stop, main, run
from generals_runtime.settings import ObservabilitySettings, ServiceSettings
from generals_runtime.watchdog import STALLED, Watchdog


class Recorder:
    """A service that writes down which verbs were called and does what it is told in its second round."""

    def __init__(self, second_round: Callable[[], None]) -> None:
        self.calls: list[str] = []
        self._second_round = second_round

    def start(self) -> None:
        self.calls.append("start")

    def run_once(self, timeout_s: float) -> None:
        self.calls.append("run_once")
        if len(self.calls) > 2:
            self._second_round()

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")


def _raise(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_loop_after_the_round_in_hand_and_stops_in_order(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    service = Recorder(lambda: os.kill(os.getpid(), number))
    assert run(service, ServiceSettings()) == 0
    assert service.calls == ["start", "run_once", "run_once", "stop"]
    assert signal.getsignal(number) == former


def test_a_service_that_is_finished_stops_in_order() -> None:
    service = Recorder(_raise(Finished("all read")))
    assert run(service, ServiceSettings(), stop=Stop()) == 0
    assert service.calls[-1] == "stop"


def test_after_a_failure_nothing_is_committed_only_let_go() -> None:
    service = Recorder(_raise(ValueError("broken")))
    assert run(service, ServiceSettings(), stop=Stop()) == 1
    assert service.calls == ["start", "run_once", "run_once", "abort"]


def test_a_start_that_gets_on_may_take_longer_than_a_stall() -> None:
    class Slow(Recorder):
        def __init__(self, second_round: Callable[[], None]) -> None:
            super().__init__(second_round)
            self.alive: Callable[[], None] = lambda: None

        def start(self) -> None:
            for _ in range(10):
                time.sleep(0.05)
                self.alive()

    settings = ServiceSettings(observability=ObservabilitySettings(stall_after_s=0.3))
    assert run(Slow(_raise(Finished())), settings, stop=Stop()) == 0


def test_a_failing_stop_is_a_failure() -> None:
    class Failing(Recorder):
        def stop(self) -> None:
            raise OperatorError("could not flush")

    assert run(Failing(_raise(Finished())), ServiceSettings(), stop=Stop()) == 1


def _get(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_running_service_answers_live_ready_and_metrics() -> None:
    port = free_port()
    seen: dict[str, tuple[int, str]] = {}

    class Shy(Recorder):
        def not_ready(self) -> str | None:
            return None if seen else "no partitions assigned"

    def look() -> None:
        assert _get(port, "/ready") == (503, "no partitions assigned\n")
        seen.update({page: _get(port, page) for page in ("/live", "/ready", "/metrics", "/other")})
        seen["/ready"] = _get(port, "/ready")
        raise Finished

    settings = ServiceSettings(observability=ObservabilitySettings(metrics_port=port))
    assert run(Shy(look), settings, stop=Stop(), observed=Metrics(CollectorRegistry())) == 0
    assert seen["/live"] == (200, "ok\n")
    assert seen["/ready"] == (200, "ok\n")
    assert "generals_idle_seconds" in seen["/metrics"][1]
    assert seen["/other"][0] == 404


def test_a_taken_port_is_one_clear_error() -> None:
    registry = CollectorRegistry()
    with (
        HealthServer("127.0.0.1", 0, registry=registry, not_live=lambda: None, not_ready=lambda: None) as first,
        pytest.raises(PortTaken, match=f"{first.port}.*observability.metrics_port"),
    ):
        HealthServer("127.0.0.1", first.port, registry=registry, not_live=lambda: None, not_ready=lambda: None)


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stalled_service_is_ended_with_its_own_code() -> None:
    clock, codes = FakeClock(), list[int]()
    watchdog = Watchdog(10.0, clock=clock, time_of_day=clock, end=codes.append)
    for second in range(1, 11):
        clock.now = second
        watchdog.check()
    assert codes == []
    clock.now = 10.5
    watchdog.check()
    assert codes == [STALLED]


def test_a_process_that_was_frozen_gets_its_time_again() -> None:
    clock, codes = FakeClock(), list[int]()
    watchdog = Watchdog(10.0, clock=clock, time_of_day=clock, end=codes.append)
    clock.now = 600.0
    watchdog.check()
    assert codes == []
    assert watchdog.idle_s == 0.0


@pytest.mark.parametrize(
    ("step_s", "expected"), [(-3600.0, [STALLED]), (-10.5, [STALLED]), (-9.5, []), (0.0, []), (3600.0, [])]
)
def test_a_time_of_day_set_back_by_more_than_a_stall_ends_the_process(step_s: float, expected: list[int]) -> None:
    now, offset, codes = [100.0], [1_000_000.0], []
    watchdog = Watchdog(10.0, clock=lambda: now[0], time_of_day=lambda: now[0] + offset[0], end=codes.append)
    for step in (0.0, step_s, 0.0, 0.0):
        now[0] += 1.0
        offset[0] += step
        watchdog.beat()
        watchdog.check()
    assert codes == expected


def test_a_freeze_between_two_looks_at_clocks_is_no_clock_set_back() -> None:
    now, freeze, codes = [100.0], [0.0], list[int]()

    def time_of_day() -> float:
        seen = 1_000_000.0 + now[0]
        now[0] += freeze[0]
        return seen

    watchdog = Watchdog(10.0, clock=lambda: now[0], time_of_day=time_of_day, end=codes.append)
    for freeze[0] in (0.0, 3600.0, 0.0, 0.0):
        now[0] += 1.0
        watchdog.check()
    assert codes == []


def test_a_stop_is_not_cut_short_by_a_step_that_a_service_at_work_would_take() -> None:
    now, offset, codes = [100.0], [1_000_000.0], list[int]()
    watchdog = Watchdog(60.0, clock=lambda: now[0], time_of_day=lambda: now[0] + offset[0], end=codes.append)
    watchdog.now("stopping", 20.0)
    offset[0] -= 50.0
    now[0] += 1.0
    watchdog.check()
    assert codes == []


def test_the_watchdog_ends_a_loop_that_hangs() -> None:
    ended = threading.Event()
    watchdog = Watchdog(0.05, end=lambda _code: ended.set())
    watchdog.start()
    try:
        assert ended.wait(5)
    finally:
        watchdog.close()


def test_wrong_settings_are_exit_code_2_without_a_stack_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENERALS_OBSERVABILITY__LOG_LEVEL", "loud")
    code = main(ServiceSettings, lambda _settings: Recorder(_raise(Finished())), name="engine", arguments=[])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("observability.log_level: 'loud' is not allowed")
    assert captured.err.count("\n") == 1


def test_arguments_are_refused_with_a_word_on_where_settings_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(ServiceSettings, lambda _settings: Recorder(_raise(Finished())), name="engine", arguments=["--x"])
    assert code == 2
    assert "GENERALS_CONFIG" in capsys.readouterr().err
