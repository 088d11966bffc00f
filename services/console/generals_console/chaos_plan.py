"""Which faults happen when: a function of the seed, so that a bad run can be run again."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

SERVICES = ("engine", "collector", "writer", "trainer", "reader")
LONGEST_FREEZE_S = 14.0
"""Longer than the sessions of consumers: who wakes up finds its partitions given away and is a zombie for a moment."""
CLOCK_JUMP = "clock jump"
FARTHEST_JUMP_S = 3_000.0
"""Within the hour that a broker allows a record to come from the future (`message.timestamp.after.max.ms`)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be done to whom. share: of all faults, relative to the others. lasts_s: shortest and longest."""

    name: str
    target: str
    share: float
    lasts_s: tuple[float, float] = (0.0, 0.0)


KINDS = (
    *(Kind("kill -9", service, 3.0) for service in SERVICES),
    *(Kind("freeze", service, 1.5, (0.5, LONGEST_FREEZE_S)) for service in SERVICES),
    *(Kind("scale up and down", service, 1.0, (4.0, 15.0)) for service in ("engine", "collector", "writer")),
    *(Kind(CLOCK_JUMP, service, 0.7, (3.0, 12.0)) for service in SERVICES),
    Kind("kill -9", "broker", 1.2, (0.0, 2.0)),
    Kind("restart", "broker", 0.8, (0.0, 1.0)),
    Kind("freeze", "broker", 0.8, (0.5, 6.0)),
    Kind("answers 500", "s3", 0.8, (1.0, 5.0)),
    Kind("answers 503", "s3", 0.8, (1.0, 5.0)),
    Kind("cuts connections", "s3", 0.8, (1.0, 5.0)),
    Kind("loses answers", "s3", 1.2, (1.0, 5.0)),
    Kind("slow", "s3", 0.4, (1.0, 4.0)),
    Kind("full", "disk", 1.5, (2.0, 6.0)),
)
"""All kinds there are."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: at_s after the start of the load, for lasts_s; pick chooses among a service's processes or the
    brokers, 0 … 1.

    jump_s: how far a clock jumps, forward or back; 0 for other kinds.
    """

    at_s: float
    kind: str
    target: str
    lasts_s: float
    pick: float
    jump_s: float = 0.0


def plan(
    seed: int, seconds: float, per_minute: float, targets: Sequence[str], without: Collection[str] = ()
) -> list[Fault]:
    """The faults of a run, by time; the same for the same arguments.

    targets: who is there.  without: kinds that cannot be done here.
    The first of each kind comes before any repeats as far as their number allows, so that short runs see much.
    """
    kinds = [kind for kind in KINDS if kind.target in targets and kind.name not in without]
    if not kinds:
        raise ValueError(f"no kind of fault has a target in {', '.join(targets) or 'nothing'}")
    dice = random.Random(seed)
    times = sorted(dice.uniform(0.0, seconds) for _ in range(round(seconds / 60 * per_minute)))
    drawn: list[Kind] = []
    while len(drawn) < len(times):
        drawn += _shuffled(kinds, dice) if not drawn else dice.choices(kinds, [kind.share for kind in kinds], k=8)
    return [_fault(kind, at_s, dice) for at_s, kind in zip(times, drawn, strict=False)]


def _fault(kind: Kind, at_s: float, dice: random.Random) -> Fault:
    lasts_s, pick = round(dice.uniform(*kind.lasts_s), 2), dice.random()
    jump_s = round(dice.uniform(-FARTHEST_JUMP_S, FARTHEST_JUMP_S)) if kind.name == CLOCK_JUMP else 0.0
    return Fault(at_s, kind.name, kind.target, lasts_s, pick, jump_s)


def _shuffled(kinds: Sequence[Kind], dice: random.Random) -> list[Kind]:
    """Each once, those with a large share rather first."""
    return sorted(kinds, key=lambda kind: dice.random() ** (1.0 / kind.share), reverse=True)
