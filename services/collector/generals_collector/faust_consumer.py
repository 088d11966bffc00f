"""Faust's consumer of the transitions, where ours differs."""

import asyncio
import functools
import time
import types
from collections.abc import Coroutine, Generator, Mapping
from typing import Any, cast

from aiokafka.errors import NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as KafkaConsumer
from faust.types import TP
from mode.services import WaitResults

TURN_S = 0.005
"""How often the loop hears what was delivered, and looks whether there is room."""


class SourceConsumer(KafkaConsumer):
    """Faust's consumer, but for where it begins, how it hands a record on, what it does when full, and how it asks.

    It begins where the group's commit is; without a commit, where the log begins. Faust goes on fetching while a
    rebalance has suspended the flow, throws that away, and seeks back to the commit. A partition without one it would
    leave behind the records thrown away.
    """

    async def _wait_next_records(self, timeout: float) -> Any:
        """Faust pauses partitions while the stream's queue is full. With all of them paused it sleeps for a second,
        which left a busy collector without records for a quarter of the time.
        """
        until = time.monotonic() + timeout
        while self.flow_active and not self._get_active_partitions():
            if time.monotonic() >= until:
                return {}, set()
            await self.sleep(TURN_S)
        return await super()._wait_next_records(timeout)

    async def wait_first(self, *waits: Any, timeout: Any = None) -> Any:
        """Faust hands each record on in a race with the end of the flow, of the service and of a crash: four tasks, of
        which three are cancelled. A queue with room takes the record at once, so there is nothing to wait for; only
        where it does not is the race run.
        """
        handing, *others = waits
        if not asyncio.iscoroutine(handing):
            return await super().wait_first(*waits, timeout=timeout)
        try:
            waited_for = handing.send(None)
        except BaseException as end:
            for other in others:
                if asyncio.iscoroutine(other):
                    other.close()
            if isinstance(end, StopIteration):
                return WaitResults([handing], [end.value], stopped=False)
            raise
        return await super().wait_first(_rest_of(handing, waited_for), *others, timeout=timeout)

    async def ends(self, within_s: float) -> Mapping[TP, int]:
        """Where our partitions end. Raises TimeoutError, KafkaError.

        Faust asks in its fetching thread, which has two workers for everything: fetching, committing, questions. For a
        partition without a leader one of them would wait 90 s, and the next question would take the other: so the time
        is limited in that thread.
        """
        thread, partitions = self._thread, list(self.assignment())

        async def ask() -> Mapping[TP, int]:
            return await asyncio.wait_for(thread._highwaters(partitions), within_s)

        return cast("Mapping[TP, int]", await thread.call_thread(ask))

    async def perform_seek(self) -> None:
        await super().perform_seek()
        fresh = [tp for tp in self.assignment() if not self._read_offset.get(tp)]
        if fresh:
            await self._thread.seek_to_beginning(*(self._new_topicpartition(tp.topic, tp.partition) for tp in fresh))

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Thread(AIOKafkaConsumerThread):
    async def on_start(self) -> None:
        await super().on_start()
        hear_group_errors(self._ensure_consumer()._coordinator)


def hear_group_errors(coordinator: Any) -> None:
    """Let aiokafka's group coordinator ask again where it is told that the group cannot answer for now.

    aiokafka reads only the partitions of an answer about commits. While the group moves to another broker, or is
    loaded, the answer has none, only an error: aiokafka takes that for a group without commits, which begins with the
    log.
    """
    send = coordinator._send_req

    async def send_and_check(request: Any) -> Any:
        response = await send(request)
        code = getattr(response, "error_code", 0) if isinstance(request, OffsetFetchRequest) else 0
        if code:
            error = for_code(code)
            if error is NotCoordinatorForGroupError:
                coordinator.coordinator_dead()
            raise error()
        return response

    coordinator._send_req = send_and_check


async def _rest_of(coroutine: Coroutine[Any, Any, Any], waited_for: Any) -> Any:
    """What is left of a coroutine that was begun by hand and waits for a future."""
    return await _resumed(coroutine, waited_for)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, Any], waited_for: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            answer = yield waited_for
        except BaseException as error:
            step = functools.partial(coroutine.throw, error)
        else:
            step = functools.partial(coroutine.send, answer)
        try:
            waited_for = step()
        except StopIteration as done:
            return done.value
