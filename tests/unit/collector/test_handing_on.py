"""How a record goes from Faust's consumer to the stream: at once where there is room, in a race where there is none."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from generals_collector.app import make_app
from generals_collector.faust_consumer import TURN_S, SourceConsumer
from generals_collector.settings import CollectorSettings


def ignored(*_: Any) -> None:
    """Nothing is ever fetched or assigned here."""


@contextmanager
def a_consumer() -> Iterator[Any]:
    """One that is never started, of the loop that runs. Its thread has a loop of its own, which must be closed."""
    transport = make_app(CollectorSettings()).transport
    transport.loop = asyncio.get_running_loop()
    made = transport.create_consumer(
        callback=ignored, on_partitions_revoked=ignored, on_partitions_assigned=ignored
    )  # fmt: skip
    assert isinstance(made, SourceConsumer)
    try:
        yield made
    finally:
        made._thread.thread_loop.close()


def hand_on(
    handing: Callable[[asyncio.Queue[str]], Coroutine[Any, Any, Any]],
    *,
    queued: tuple[str, ...] = (),
    soon: Callable[[asyncio.Queue[str], asyncio.Event], Any] = ignored,
) -> tuple[list[str], int]:
    """What is in the queue afterwards, which has room for one, and how many tasks it took. `soon` is called later."""

    async def check() -> tuple[list[str], int]:
        queue, suspended, tasks = asyncio.Queue[str](1), asyncio.Event(), 0
        loop = asyncio.get_running_loop()

        def count(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: Any) -> asyncio.Task[Any]:
            nonlocal tasks
            tasks += 1
            return asyncio.Task(coroutine, loop=loop)

        for record in queued:
            queue.put_nowait(record)
        with a_consumer() as consumer:
            loop.call_later(0.01, soon, queue, suspended)
            loop.set_task_factory(count)
            await consumer.wait_first(handing(queue), suspended.wait())
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1, "nothing is left behind"
        return [queue.get_nowait() for _ in range(queue.qsize())], tasks

    return asyncio.run(check())


def test_a_queue_with_room_takes_the_record_without_a_task() -> None:
    assert hand_on(lambda queue: queue.put("record")) == (["record"], 0)


def test_a_full_queue_gets_the_record_when_there_is_room() -> None:
    found, tasks = hand_on(
        lambda queue: queue.put("record"), queued=("before",), soon=lambda queue, _: queue.get_nowait()
    )
    assert found == ["record"]
    assert tasks > 0


def test_the_end_of_the_flow_takes_the_record_back() -> None:
    found, _ = hand_on(lambda queue: queue.put("record"), queued=("before",), soon=lambda _, suspended: suspended.set())
    assert found == ["before"]


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_while_handing_on_comes_out(waits: bool) -> None:
    async def fail(_: asyncio.Queue[str]) -> None:
        if waits:
            await asyncio.sleep(0.01)
        raise ValueError("no room at all")

    with pytest.raises(ValueError, match="no room at all"):
        hand_on(fail)


def test_with_all_partitions_paused_it_looks_again_soon_and_never_sleeps_a_second() -> None:
    async def check() -> tuple[Any, set[float]]:
        slept = set()

        async def sleep(seconds: float) -> None:
            slept.add(seconds)
            await asyncio.sleep(seconds)

        with a_consumer() as consumer:
            consumer.flow_active = True
            consumer._get_active_partitions = set
            consumer.sleep = sleep
            return await consumer._wait_next_records(0.05), slept

    assert asyncio.run(check()) == (({}, set()), {TURN_S})
