"""A group that cannot answer for now is no group without commits."""

import asyncio
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError, NotCoordinatorForGroupError
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from aiokafka.structs import TopicPartition

from generals_collector.faust_consumer import hear_group_errors

SPOT = TopicPartition("transitions", 3)
COMMITTED = OffsetFetchResponse_v3(0, [("transitions", [(3, 700, "", 0)])], 0)
NOTHING = OffsetFetchResponse_v3(0, [("transitions", [(3, -1, "", 0)])], 0)


class Coordinator(GroupCoordinator):
    """aiokafka's, which is told what to hear."""

    def __init__(self, *answers: Any) -> None:
        self.group_id, self._retry_backoff_ms = "collector", 1
        self._answers, self.dead = list(answers), 0

    def __del__(self, _warnings: Any = None) -> None:
        """Its own looks for what `__init__` did not make."""

    async def ensure_coordinator_known(self) -> None: ...

    def coordinator_dead(self) -> None:
        self.dead += 1

    async def _send_req(self, _: Any) -> Any:
        return self._answers.pop(0)


def committed(coordinator: Coordinator) -> dict[TopicPartition, int]:
    hear_group_errors(coordinator)
    found = asyncio.run(coordinator.fetch_committed_offsets({SPOT}))
    return {spot: one.offset for spot, one in found.items()}


def failed(error: type[Exception]) -> OffsetFetchResponse_v3:
    return OffsetFetchResponse_v3(0, [], error.errno)


def test_a_coordinator_that_has_moved_is_looked_for_and_asked_again() -> None:
    coordinator = Coordinator(failed(NotCoordinatorForGroupError), COMMITTED)
    assert committed(coordinator) == {SPOT: 700}
    assert coordinator.dead == 1


def test_a_group_that_is_being_loaded_is_asked_again() -> None:
    coordinator = Coordinator(failed(GroupLoadInProgressError), failed(GroupLoadInProgressError), COMMITTED)
    assert committed(coordinator) == {SPOT: 700}
    assert coordinator.dead == 0


def test_a_refusal_is_an_error() -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        committed(Coordinator(failed(GroupAuthorizationFailedError)))


def test_a_group_without_commits_has_none() -> None:
    assert committed(Coordinator(NOTHING)) == {}
