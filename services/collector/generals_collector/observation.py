"""Metrics of what was converted, a group at a time: numbers are gathered into arrays first, for each call costs."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generals_collector.conversion import Converted
from generals_runtime import metrics
from generals_schemas.records import ExperienceBatch

ACTION_KINDS = (
    "up", "down", "left", "right", "up_split", "down_split", "left_split", "right_split", "pass",
)  # fmt: skip
PASS = 8


def observe(converted: Sequence[Converted], seconds: float) -> None:
    """Count a group that took `seconds` to convert."""
    group = metrics.default().collector
    batches = [batch for one in converted for batch in one.batches]
    group.chunks.inc(sum(1 for one in converted if one.rejected is None))
    group.transform_seconds.observe(seconds / len(converted))
    if not batches:
        return
    steps: Counter[str] = Counter()
    for batch in batches:
        steps[batch.policy.name] += batch.steps
    for policy, count in steps.items():
        group.experiences.labels(metrics.policy_label(policy)).inc(count)
    group.reward.observe(np.concatenate([batch.rewards for batch in batches]))
    kinds = np.bincount(np.concatenate([action_kinds(batch) for batch in batches]), minlength=len(ACTION_KINDS))
    for name, count in zip(ACTION_KINDS, kinds.tolist(), strict=True):
        group.actions.labels(name).inc(count)
    runtime = metrics.default().runtime
    runtime.raw_bytes.labels("experience_batch").inc(sum(batch.armies.nbytes + batch.bits.nbytes for batch in batches))
    runtime.packed_bytes.labels("experience_batch").inc(sum(len(v) for one in converted for v in one.values))


def action_kinds(batch: ExperienceBatch) -> NDArray[np.int64]:
    """`[N]`: the index in ACTION_KINDS of each action."""
    moves = 4 * batch.width * batch.height
    split, rest = np.divmod(batch.actions.astype(np.int64), moves)
    return np.where(split == 2, PASS, split * 4 + rest % 4)
