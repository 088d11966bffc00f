"""A hundred kills, freezes and restarts of two collectors, drawn at random: what the exhaustive walk is too small for.

Each fault gives the victim's partitions to the other collector, which begins at the group's commit. A frozen collector
is a zombie: what it had taken it goes on sending, between the other's batches, and what it commits Kafka refuses.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from generals_client.positions import Deduplicator
from generals_schemas.records import Source

PARTITIONS, CHUNKS, FAULTS, STEPS_BETWEEN = 4, 400, 100, 60
AHEAD = 24
"""Batches that a collector has under way in a partition, at most."""


@dataclass(eq=False)
class Work:
    """One collector's part of one partition: the chunk it takes next, and its batches that are not in the log yet."""

    next_chunk: int
    under_way: list[Source] = field(default_factory=list)


class Pipeline:
    """Two collectors, the experiences log of each partition, and the group's commits."""

    def __init__(self, rng: random.Random, *, acknowledge_before_delivery: bool = False) -> None:
        self.rng = rng
        self.hasty = acknowledge_before_delivery
        self.counts = [[rng.randint(1, 3) for _ in range(CHUNKS)] for _ in range(PARTITIONS)]
        self.log: list[list[Source]] = [[] for _ in range(PARTITIONS)]
        self.committed = [0] * PARTITIONS
        self.owned: list[dict[int, Work]] = [{p: Work(0) for p in range(PARTITIONS) if p % 2 == c} for c in (0, 1)]
        self.zombies: list[tuple[int, Work]] = []

    def step(self) -> None:
        """Somebody does something: takes a chunk, has a batch delivered, or commits."""
        if self.zombies and self.rng.random() < 0.3:
            place = self.rng.randrange(len(self.zombies))
            partition, work = self.zombies[place]
            if work.under_way and self.rng.random() < 0.95:
                self.log[partition].append(work.under_way.pop(0))
            else:
                self.zombies.pop(place)  # it has noticed, and ends
            return
        partition, work = self.rng.choice([item for owned in self.owned for item in owned.items()])
        if self.rng.random() < 0.45 and work.next_chunk < CHUNKS and len(work.under_way) < AHEAD:
            count = self.counts[partition][work.next_chunk]
            work.under_way += [Source("t", "id", partition, work.next_chunk, i, count) for i in range(count)]
            work.next_chunk += 1
        elif work.under_way and self.rng.random() < 0.9:
            self.log[partition].append(work.under_way.pop(0))
        else:
            all_sent = self.hasty or not work.under_way
            self.committed[partition] = work.next_chunk if all_sent else work.under_way[0].offset

    def fault(self) -> None:
        """Kill or freeze one; the other has everything from the commits on, until a rebalance shares it again."""
        victim = self.rng.randrange(2)
        if self.rng.random() < 0.5:
            self.zombies += self.owned[victim].items()
        for partition in self.owned[victim]:
            self.owned[1 - victim][partition] = Work(self.committed[partition])
        self.owned[victim] = {}
        if self.rng.random() < 0.7:  # it is back: partitions move, and begin at their commits
            for partition in self.rng.sample(range(PARTITIONS), PARTITIONS // 2):
                del self.owned[1 - victim][partition]
                self.owned[victim][partition] = Work(self.committed[partition])

    def finish(self) -> None:
        """Without faults until all is delivered."""
        while any(work.under_way or work.next_chunk < CHUNKS for owned in self.owned for work in owned.values()):
            self.step()


def after_a_hundred_faults(pipeline: Pipeline) -> Pipeline:
    for _ in range(FAULTS):
        for _ in range(STEPS_BETWEEN):
            pipeline.step()
        pipeline.fault()
    pipeline.finish()
    return pipeline


@pytest.mark.parametrize("case", range(20))
def test_a_hundred_faults_lose_and_double_nothing(
    case: int, seed: int, record_property: Callable[[str, object], None]
) -> None:
    pipeline = after_a_hundred_faults(Pipeline(random.Random(seed * 100 + case)))
    repeats = 0
    for partition, log in enumerate(pipeline.log):
        dedup = Deduplicator(partition)
        handed_on = [(source.offset, source.index) for source in log if dedup.accept(source)]
        counts = pipeline.counts[partition]
        assert handed_on == [(offset, index) for offset in range(CHUNKS) for index in range(counts[offset])]
        assert dedup.lost == 0
        assert dedup.repeats == len(log) - len(handed_on)
        repeats += dedup.repeats
    record_property("repeats dropped", repeats)
    assert repeats > 0


def test_acknowledging_before_delivery_loses_some(seed: int) -> None:
    pipeline = after_a_hundred_faults(Pipeline(random.Random(seed), acknowledge_before_delivery=True))
    delivered = {(partition, s.offset, s.index) for partition, log in enumerate(pipeline.log) for s in log}
    assert len(delivered) < sum(map(sum, pipeline.counts))
