"""`ExperienceStream`: the experiences topic as batches of numpy arrays.

What is handed on, and what is not:
- Positions are those behind the batches that were handed on. A record may be handed on in part, and later ones before
  it (boards of another size); positions say so, and nothing is lost or doubled when they are restored.
- Partitions that the group takes away: what waits of them is dropped, since another member reads it from what was
  committed. If they come back, reading goes on behind what was handed on here or committed since, whichever is further.
- So one reader of a group is exactly once from position to position, while members that share a group are at least
  once: what one handed on and did not commit before it lost the partition, the next hands on again.
"""

import hashlib
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_client.batch import Batch, Segment, ShapeKey, shape_key
from generals_client.ledger import Ledger
from generals_client.pending import Waiting
from generals_client.positions import Position
from generals_client.reader import FETCH_RECORDS, Delivered, ReaderStats, RecordReader, Start

POLL_S = 0.2
MAX_BEHIND = 2048
"""Records of a partition behind one that still waits, at most: bounds what a position has to say."""
MAX_SHAPES = 128
"""Shapes that wait at once, at most: bounds memory where every game has a board of its own size."""


class ExperienceStream:
    """Iterates batches of experiences, each exactly once. A context manager, and iterable; for one thread.

    >>> with ExperienceStream(bootstrap_servers="localhost:9092", group="mine") as stream:  # doctest: +SKIP
    ...     for batch in stream:
    ...         print(batch.state.shape, batch.reward.mean())

    bootstrap_servers: the brokers.  group: the consumer group; each group gets every experience.
    start: `"earliest"` or `"latest"` (for a group that has committed nothing), an offset, a `datetime`, offsets by
        partition, or saved positions (these win over what the group committed).
    follow: wait for more at the end; otherwise stop at the end offsets that the topic has at the start.
    batch_size: experiences a batch. A batch is handed on when full, or with what there is after `max_wait_s` of waiting
        for more (the time that the caller takes does not count). All boards in a batch have the same size and encoding.
    game_ids, players: keep only these.  sample_fraction: keep this share of steps, the same ones at every replay.
    n_step, discount: sum so many rewards, see `Batch`.
    client_config: more of librdkafka's settings (security, timeouts).
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group: str,
        start: Start = "earliest",
        follow: bool = False,
        batch_size: int = 256,
        game_ids: Collection[str] | None = None,
        players: Collection[int] | None = None,
        sample_fraction: float = 1.0,
        max_wait_s: float = 1.0,
        n_step: int = 1,
        discount: float = 1.0,
        topic: str = "generals.experiences",
        client_config: Mapping[str, Any] | None = None,
    ) -> None:
        _check(batch_size=batch_size, n_step=n_step, sample_fraction=sample_fraction, game_ids=game_ids)
        self._game_ids = frozenset(game_ids) if game_ids is not None else None
        self._players = frozenset(players) if players is not None else None
        self._fraction = sample_fraction
        self._batch_size = batch_size
        self._max_wait_s = max_wait_s
        self._n_step, self._discount = n_step, discount
        self._waiting = Waiting()
        self._whole: deque[Delivered] = deque()
        self._ledger = Ledger()
        self._waited_s = 0.0
        self._reader = RecordReader(
            bootstrap_servers=bootstrap_servers,
            group=group,
            topic=topic,
            start=start,
            follow=follow,
            client_config=client_config,
            on_revoke=self._give_up,
        )

    def __iter__(self) -> Iterator[Batch]:
        """Batches, until the end (or for ever with `follow`)."""
        while True:
            while (key := self._due()) is not None:
                yield self._hand(key)
            if self.at_end:
                return
            self._fetch()

    def records(self) -> Iterator[Delivered]:
        """Whole records instead of flat batches, rejected markers included; ends as `__iter__` does.

        Filters by game and player apply, but not to markers, which are of no game; `sample_fraction` does not. Do not
        mix with batches on one stream. Positions are those behind the last record handed on.
        """
        while not self.at_end:
            yield from self.poll_records(max_records=1)

    def poll_records(self, timeout_s: float = POLL_S, max_records: int = FETCH_RECORDS) -> list[Delivered]:
        """As `records`, but returns after `timeout_s`, possibly with nothing. For loops that have other work."""
        if not self._whole:
            for record in self._reader.poll(timeout_s):
                self._ledger.add(record)
                self._whole.append(record)
        found: list[Delivered] = []
        while self._whole and len(found) < max_records:
            record = self._whole.popleft()
            self._ledger.hand(record, record.batch.steps)
            if record.batch.rejected is not None or self._is_wanted(record):
                found.append(record)
        return found

    def positions(self) -> list[Position]:
        """Where to go on behind the batches handed on so far; give them as `start`, or save them by `to_json`.

        One for each partition of this member; still there after the stream was closed.
        """
        return [self._ledger.position(position) for position in self._reader.positions()]

    def commit(self) -> bool:
        """Commit `positions()` to the group, so that its next stream goes on from here.

        False if that could not be done for now (a rebalance, a broker that is away): the next commit counts.
        """
        return self._reader.commit(self.positions())

    @property
    def stats(self) -> ReaderStats:
        """Records read, repeats dropped, chunks lost, chunks rejected."""
        return self._reader.stats

    @property
    def assignment(self) -> tuple[int, ...]:
        """The partitions that Kafka has given to this member of the group."""
        return self._reader.assignment

    @property
    def at_end(self) -> bool:
        """Whether all there was at the start has been handed on; never with `follow`."""
        return self._reader.at_end and not len(self._waiting) and not self._whole

    def lag(self) -> dict[int, int]:
        """Records not yet read, by partition."""
        return self._reader.lag()

    def close(self) -> None:
        """Leave the group. Nothing is committed."""
        self._reader.close()

    def __enter__(self) -> "ExperienceStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self) -> None:
        """Wait for records no longer than the batch that waits longest may."""
        since = self._waiting.since()
        allowed = POLL_S if since is None else since + self._max_wait_s - self._waited_s
        began = time.monotonic()
        found = self._reader.poll(min(POLL_S, max(0.0, allowed)))
        self._waited_s += time.monotonic() - began
        for record in found:
            self._add(record)

    def _add(self, record: Delivered) -> None:
        steps = self._wanted_steps(record)
        key = shape_key(record.batch)
        self._ledger.add(record, key)
        if len(steps):
            self._waiting.add(key, record, steps, self._waited_s)
        else:
            self._ledger.hand(record, record.batch.steps)

    def _is_wanted(self, record: Delivered) -> bool:
        batch = record.batch
        if self._game_ids is not None and batch.game_id not in self._game_ids:
            return False
        return self._players is None or batch.player in self._players

    def _wanted_steps(self, record: Delivered) -> NDArray[np.int64]:
        batch = record.batch
        if not self._is_wanted(record):
            return np.zeros(0, np.int64)
        steps = np.arange(record.handed, batch.steps)
        if self._fraction < 1.0:
            name = f"{batch.game_id}/{batch.chunk}/{batch.player}".encode()
            seed = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
            drawn = np.random.default_rng(seed).random(batch.steps) < self._fraction
            steps = steps[drawn[steps]]
        return steps

    def _due(self) -> ShapeKey | None:
        """The shape to hand on next: a full batch, one that waited too long, or one that holds too much back."""
        key = self._waiting.full(self._batch_size)
        if key is not None:
            return key
        since = self._waiting.since()
        overdue = since is not None and self._waited_s - since >= self._max_wait_s
        if overdue or len(self._waiting) > MAX_SHAPES or self._reader.at_end:
            return self._waiting.first()
        return self._ledger.holding(MAX_BEHIND)

    def _hand(self, key: ShapeKey) -> Batch:
        taken = self._waiting.take(key, self._batch_size, self._waited_s)
        for record, _, handed in taken:
            self._ledger.hand(record, handed)
        segments = [Segment(record.batch, steps) for record, steps, _ in taken]
        return Batch(segments, n_step=self._n_step, discount=self._discount)

    def _give_up(self, read: Position) -> Position:
        """A partition is taken away: drop what waits of it; go on behind what was handed on, should it come back."""
        behind = self._ledger.position(read)
        self._ledger.forget(read.partition)
        self._waiting.forget(read.partition)
        self._whole = deque(record for record in self._whole if record.partition != read.partition)
        return behind


def _check(*, batch_size: int, n_step: int, sample_fraction: float, game_ids: Collection[str] | None) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, must be at least 1")
    if n_step < 1:
        raise ValueError(f"n_step is {n_step}, must be at least 1")
    if not 0.0 < sample_fraction <= 1.0:
        raise ValueError(f"sample_fraction is {sample_fraction}, must be in (0, 1]")
    if isinstance(game_ids, str):
        raise ValueError(f"game_ids is the text {game_ids!r}: it must be a collection of ids, [{game_ids!r}]")
