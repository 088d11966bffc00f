"""Metrics of what was converted, a group at a time: numbers are gathered into arrays first, for each call costs."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generals_collector.conversion import Converted, Played
from generals_runtime import metrics

ACTION_KINDS = (
    "up", "down", "left", "right", "up_split", "down_split", "left_split", "right_split", "pass",
)  # fmt: skip
PASS = 8


def observe(converted: Sequence[Converted], seconds: float) -> None:
    """Count a group that took `seconds` to convert."""
    group, runtime, topic = metrics.default().collector, metrics.default().runtime, converted[0].source.topic
    played = [one for record in converted for one in record.played]
    runtime.records_consumed.labels(topic).inc(sum(1 for one in converted if not one.source.hole))
    runtime.bytes_consumed.labels(topic).inc(sum(len(one.source.value or b"") for one in converted))
    group.chunks.inc(sum(1 for one in converted if one.rejected is None))
    group.transform_seconds.observe(seconds / len(converted))
    if not played:
        return
    steps: Counter[str] = Counter()
    for one in played:
        steps[one.policy] += len(one.actions)
    for policy, count in steps.items():
        group.experiences.labels(metrics.policy_label(policy)).inc(count)
    group.reward.observe(np.concatenate([one.rewards for one in played]))
    for name, count in zip(ACTION_KINDS, count_actions(played).tolist(), strict=True):
        group.actions.labels(name).inc(count)
    runtime.raw_bytes.labels("experience_batch").inc(sum(one.raw_bytes for one in played))
    packed = sum(len(value) for one in converted if one.played for value in one.values)
    runtime.packed_bytes.labels("experience_batch").inc(packed)


def count_actions(played: Sequence[Played]) -> NDArray[np.int64]:
    """`[9]`: how often each of ACTION_KINDS was taken. Boards of one size are counted together."""
    by_size: dict[int, list[NDArray[np.int32]]] = defaultdict(list)
    for one in played:
        by_size[one.tiles].append(one.actions)
    counts = np.zeros(len(ACTION_KINDS), np.int64)
    for tiles, actions in by_size.items():
        split, rest = np.divmod(np.concatenate(actions), 4 * tiles)
        kinds = np.where(split == 2, PASS, split * 4 + rest % 4)
        counts += np.bincount(kinds, minlength=len(ACTION_KINDS))
    return counts
