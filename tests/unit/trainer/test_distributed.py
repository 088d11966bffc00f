"""Two ranks in two threads, in step, without torchrun and Kafka."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from generals_client.reader import Delivered, ReaderStats
from generals_runtime.service import Finished
from generals_trainer import distributed, trainer
from generals_trainer.distributed import DistributedTrainer
from generals_trainer.settings import LearnerSettings, ReplaySettings, TrainerSettings

RANKS, STEPS, WARMUP, UPDATES = 2, 8, 64, 10


class Meeting:
    """Where the ranks hear what each of them says."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(RANKS, timeout=60)
        self._said: list[Any] = [None] * RANKS
        self.numbers = itertools.count()

    def all_say(self, rank: int, what: Any) -> list[Any]:
        self._said[rank] = what
        self._barrier.wait()
        heard = list(self._said)
        self._barrier.wait()
        return heard


class ThreadRanks:
    """As `Ranks`, for threads of one process."""

    world = RANKS

    def __init__(self, meeting: Meeting) -> None:
        self._meeting, self.rank = meeting, next(meeting.numbers)

    def sums(self, numbers: Sequence[float]) -> list[float]:
        return [sum(column) for column in zip(*self._meeting.all_say(self.rank, list(numbers)), strict=True)]

    def average(self, gradients: Sequence[Tensor], contributors: int) -> None:
        heard = self._meeting.all_say(self.rank, [gradient.clone() for gradient in gradients])
        for gradient, parts in zip(gradients, zip(*heard, strict=True), strict=True):
            gradient.copy_(sum(parts) / contributors)

    def share(self, text: str, source: int) -> str:
        return str(self._meeting.all_say(self.rank, text)[source])

    def close(self) -> None:
        pass


class Records:
    """A feed without Kafka."""

    stats = ReaderStats()

    def __init__(self, records: Iterator[Delivered]) -> None:
        self._records = records

    def take(self, timeout_s: float) -> Delivered | None:
        return next(self._records, None)

    def lag(self) -> dict[int, int]:
        return {}

    def commit(self, positions: Any) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_batch: Any) -> list[DistributedTrainer]:
    """Two that insert and learn as fast as they can; the first has records without end, the second has none."""
    meeting = Meeting()
    batch = make_batch(steps=STEPS, width=4, height=4, scalars=0, end="terminated")
    endless = (Delivered(batch, 0, offset, 0, 100) for offset in itertools.count())
    monkeypatch.setattr(distributed, "Ranks", lambda _: ThreadRanks(meeting))
    monkeypatch.setattr(trainer, "connect", lambda _: None)
    monkeypatch.setattr(trainer, "FREE_INSERTS", 20)
    settings = TrainerSettings(
        run_dir=tmp_path, device="cpu", samples_per_insert=None, max_steps=UPDATES,
        learner=LearnerSettings(batch_size=4, network_width=4, network_blocks=0),
        replay=ReplaySettings(capacity=2000, warmup=WARMUP, n_step=1),
    )  # fmt: skip
    made = [DistributedTrainer(settings) for _ in range(RANKS)]
    for rank, records in zip(made, (endless, iter(())), strict=True):
        monkeypatch.setattr(rank, "_open_feed", lambda records=records: Records(records))
    return made


def test_without_a_ratio_ranks_go_on_inserting_between_updates_and_stay_in_step(
    ranks: list[DistributedTrainer],
) -> None:
    def run(rank: DistributedTrainer) -> None:
        rank.start()
        with suppress(Finished):
            while True:
                rank.run_once(0.5)
        rank.stop()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [rank.steps for rank in ranks] == [UPDATES, UPDATES]
    assert ranks[0].limiter.inserted == ranks[1].limiter.inserted
    assert ranks[0].limiter.inserted > 2 * WARMUP
