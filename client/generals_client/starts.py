"""Where a reader may begin, and what of that is known before the broker is asked."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypeAlias

from generals_client.errors import PositionLost
from generals_client.positions import Position

Start: TypeAlias = str | int | datetime | Mapping[int, int] | list[Position]
"""`"earliest"`, `"latest"`: where a group begins that has committed nothing.
An offset for every partition, a time, offsets by partition, or saved positions: these win over what the group
committed, the first time a reader is given the partition. Partitions that the last two do not name begin like
`"earliest"`."""


def given_positions(start: Start, topic: str) -> dict[int, Position]:
    """What `start` says about single partitions.

    Raises:
        ValueError: it cannot be a start, or its positions belong to another topic.
    """
    if isinstance(start, Mapping):
        return {int(number): Position(topic, int(number), offset) for number, offset in start.items()}
    if isinstance(start, list):
        for position in start:
            if position.topic != topic:
                raise ValueError(f"a saved position belongs to topic {position.topic}, this stream reads {topic}")
        return {position.partition: position for position in start}
    if start not in ("earliest", "latest") and (isinstance(start, bool) or not isinstance(start, int | datetime)):
        raise ValueError(
            f"start is {start!r}: it must be 'earliest', 'latest', an offset, a datetime, "
            "offsets by partition, or saved positions"
        )
    if isinstance(start, int) and start < 0:
        raise ValueError(f"start is {start}: offsets begin at 0")
    return {}


def check_partitions(given: Collection[int], existing: Collection[int], topic: str) -> None:
    """Raises PositionLost if a start names partitions that the topic does not have."""
    unknown = sorted(set(given) - set(existing))
    if unknown:
        raise PositionLost(f"{topic} has no partition {unknown[0]}: it has {len(existing)}, and `start` names it")
