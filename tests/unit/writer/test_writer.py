"""The writer's threads: what each of them does when all are to stop, and when one has failed."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from generals_runtime.errors import OperatorError
from generals_runtime.metrics import Metrics
from generals_writer import writer
from generals_writer.settings import Destination, WriterSettings


class Lane:
    """Stands in for a DestinationWriter: notes how it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_progress = time.monotonic()
        self.failure: Exception | None = None
        self.ends: list[str] = []
        self.failed = threading.Event()
        self.may_stop = threading.Event()
        self.may_stop.set()

    def start(self) -> None: ...

    def run_once(self, timeout_s: float) -> None:
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self.may_stop.wait()
        self.ends.append("stop")

    def abort(self) -> None:
        self.ends.append("abort")
        self.failed.set()

    def not_ready(self) -> str | None:
        return None


Lanes = dict[str, Lane]


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lanes]:
    made: Lanes = {}

    def make(_settings: WriterSettings, destination: Destination, **_observers: Any) -> Lane:
        return made.setdefault(destination.name, Lane(destination.name))

    monkeypatch.setattr(writer, "DestinationWriter", make)
    yield made
    for lane in made.values():
        lane.may_stop.set()


def service(count: int = 2, **observability: float) -> writer.WriterService:
    destinations = [{"name": f"d{n}", "url": f"archive-{n}"} for n in range(count)]
    settings = WriterSettings.model_validate({"destinations": destinations, "observability": observability})
    return writer.WriterService(settings, Metrics(CollectorRegistry()))


def test_a_stop_lets_every_destination_store_what_is_open(lanes: Lanes) -> None:
    made = service()
    made.start()
    made.stop()
    assert [lane.ends for lane in lanes.values()] == [["stop"], ["stop"]]


def test_after_a_failure_every_destination_lets_go_and_none_commits(lanes: Lanes) -> None:
    made = service()
    lanes["d1"].failure = OperatorError("contradicted")
    made.start()
    lanes["d1"].failed.wait()
    with pytest.raises(OperatorError, match="contradicted"):
        made.run_once(0.0)
    made.abort()
    assert [lane.ends for lane in lanes.values()] == [["abort"], ["abort"]]


def test_a_failure_before_the_threads_are_there_can_be_aborted_too(lanes: Lanes) -> None:
    service().abort()
    assert [lane.ends for lane in lanes.values()] == [[], []]


def test_destinations_that_hang_do_not_keep_a_stop_beyond_its_time(lanes: Lanes) -> None:
    made = service(count=20, stop_within_s=0.5)
    for lane in lanes.values():
        lane.may_stop.clear()
    made.start()
    begun = time.monotonic()
    made.stop()
    made.abort()
    assert time.monotonic() - begun < 5.0  # one after the other they would take 8
    assert [lane.ends for lane in lanes.values()] == [[]] * 20
