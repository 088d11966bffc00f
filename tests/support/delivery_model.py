"""Collectors, the log and a reader as a machine of few states, so that every interleaving can be walked through.

Unusual:
- The reader's bookkeeping is not modelled: `Deduplicator` and `Mark` are the client's own.
- The prompt reader reads a record as soon as it is written. That loses no behaviour: reading commutes with all that
  others do, and a crash that goes back to a saved position and reads on from there does what a crash right after
  saving would have done, because the log between is the same. So `restart` branches off at each position. The lagging
  reader, for smaller bounds, does without that argument: it has a log, a saved and a live state, and crashes anywhere.
- A group of chunks may be committed up to any chunk in it, and at any time after delivery, which covers partial groups
  and lost answers of the coordinator.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from generals_client.positions import Deduplicator, Mark
from generals_schemas.records import Source


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is done right, and can be done wrong."""

    deliver_before_acknowledging: bool = True
    save_marks: bool = True
    stop_after_a_failed_send: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the walk goes. batches: of each chunk of the partition; one chunk more of a kind adds little.

    faults: crashes, rebalances that leave a zombie, and rewinds of the group, together.
    reader: prompt or lagging.  reader_crashes: of the lagging one; the prompt one has no limit.
    """

    batches: tuple[int, ...] = (2, 2, 2)
    faults: int = 3
    lagging: bool = False
    reader_crashes: int = 2

    @property
    def flat(self) -> tuple[Source, ...]:
        """All batches in source order."""
        return tuple(
            Source("transitions", "id", 0, offset, index, count)
            for offset, count in enumerate(self.batches)
            for index in range(count)
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """What a reader has: its mark, and the batches that it handed on, as a set of bits.

    offset: its place in the log, kept only while it lags.
    """

    mark: Mark | None = None
    sink: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """One state. owner, zombies: the next batch that each collector writes; zombies are sorted.

    committed: source offset of the group.  log: batches by number, while the reader lags.
    """

    committed: int = 0
    owner: int = 0
    zombies: tuple[int, ...] = ()
    faults: int = 0
    live: Reader = Reader()
    saved: Reader = Reader()
    log: tuple[int, ...] = ()
    reader_crashes: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise broken: `loss`, `duplicate`, or `wrong count` where the reader's own counter is wrong."""

    what: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found. violations: the first of each kind."""

    states: int
    violations: tuple[Violation, ...]

    @property
    def kinds(self) -> set[str]:
        return {violation.what for violation in self.violations}


class Broken(Exception):
    """A step broke a promise."""


Step = tuple[str, Callable[[], State]]


class Delivery:
    """The machine: from a state, the steps that may come next."""

    def __init__(self, protocol: Protocol, bounds: Bounds) -> None:
        self.protocol, self.bounds = protocol, bounds
        self.flat = bounds.flat
        self.firsts = [number for number, source in enumerate(self.flat) if source.index == 0] + [len(self.flat)]

    def first(self) -> State:
        return State(faults=self.bounds.faults, reader_crashes=self.bounds.reader_crashes)

    def steps(self, state: State) -> Iterator[Step]:
        yield from self._collecting(state)
        yield from self._reading(state)
        if state.faults:
            yield from self._faults(state)

    def _collecting(self, state: State) -> Iterator[Step]:
        if state.owner < len(self.flat):
            yield f"write {state.owner}", lambda: self._write(state, state.owner, replace(state, owner=state.owner + 1))
        for place, at in enumerate(state.zombies):
            if at < len(self.flat):
                yield (
                    f"zombie writes {at}",
                    lambda place=place, at=at: self._write(  # type: ignore[misc]
                        state, at, replace(state, zombies=_moved(state.zombies, place))
                    ),
                )
        for offset in range(state.committed + 1, self._may_commit(state) + 1):
            yield f"commit {offset}", lambda offset=offset: replace(state, committed=offset)  # type: ignore[misc]

    def _may_commit(self, state: State) -> int:
        """The offset up to which the owner may commit: of what it has written, or, done wrong, of what it has taken."""
        if not self.protocol.deliver_before_acknowledging:
            return len(self.bounds.batches)
        return sum(first <= state.owner for first in self.firsts[1:])

    def _faults(self, state: State) -> Iterator[Step]:
        left = state.faults - 1
        again = self.firsts[state.committed]
        yield "crash", lambda: replace(state, owner=again, faults=left)
        if state.owner < len(self.flat):
            zombies = tuple(sorted((*state.zombies, state.owner)))
            yield "rebalance, a zombie stays", lambda: replace(state, owner=again, zombies=zombies, faults=left)
            if not self.protocol.stop_after_a_failed_send:
                yield "a send fails", lambda: replace(state, owner=state.owner + 1, faults=left)
        for offset in range(state.committed):
            yield (
                f"rewind to {offset}",
                lambda offset=offset: replace(  # type: ignore[misc]
                    state, committed=offset, owner=self.firsts[offset], faults=left
                ),
            )

    def _write(self, state: State, number: int, after: State) -> State:
        if self.bounds.lagging:
            return replace(after, log=(*after.log, number))
        return replace(after, live=self._read(state.live, number))

    def _reading(self, state: State) -> Iterator[Step]:
        if not self.bounds.lagging:
            yield "the reader restarts here", lambda: replace(state, live=self._restarted(state.live))
            return
        live = state.live
        if live.offset < len(state.log):
            yield (
                "read",
                lambda: replace(state, live=replace(self._read(live, state.log[live.offset]), offset=live.offset + 1)),
            )
        if state.saved != live:
            yield "save", lambda: replace(state, saved=live)
        if state.reader_crashes:
            yield (
                "the reader crashes",
                lambda: replace(state, live=self._restarted(state.saved), reader_crashes=state.reader_crashes - 1),
            )

    def _restarted(self, saved: Reader) -> Reader:
        return saved if self.protocol.save_marks else replace(saved, mark=None)

    def _read(self, reader: Reader, number: int) -> Reader:
        """One record through the client's own deduplication. Raises Broken."""
        dedup = Deduplicator(0, reader.mark, "id")
        bit = 1 << number
        if not dedup.accept(self.flat[number]):
            if not reader.sink & bit:
                raise Broken("loss")  # dropped as a repeat, never handed on
            return reader
        if reader.sink & bit:
            raise Broken("duplicate")
        if dedup.lost:
            raise Broken("loss")
        if reader.sink != bit - 1:
            raise Broken("wrong count")  # something is missing and the reader did not say so
        return Reader(dedup.mark, reader.sink | bit, reader.offset)

    def check_end(self, state: State) -> None:
        """Raises Broken if nothing can happen any more without a fault and a batch was not handed on."""
        over = state.owner == len(self.flat) and state.committed == len(self.bounds.batches)
        behind = self.bounds.lagging and state.live.offset < len(state.log)
        if over and not behind and state.live.sink != (1 << len(self.flat)) - 1:
            raise Broken("loss")


def _moved(zombies: Sequence[int], place: int) -> tuple[int, ...]:
    return tuple(sorted((*zombies[:place], zombies[place] + 1, *zombies[place + 1 :])))


def walk(protocol: Protocol, bounds: Bounds) -> Verdict:
    """Every state that can be reached; the shortest way to the first violation of each kind."""
    machine = Delivery(protocol, bounds)
    came_from: dict[State, tuple[State, str] | None] = {machine.first(): None}
    layer = [machine.first()]
    found: dict[str, Violation] = {}

    def path(state: State) -> list[str]:
        steps = []
        while (before := came_from[state]) is not None:
            state = before[0]
            steps.append(before[1])
        return steps[::-1]

    while layer:
        following = []
        for state in layer:
            for name, take in machine.steps(state):
                try:
                    after = take()
                    if after not in came_from:
                        came_from[after] = (state, name)
                        following.append(after)
                        machine.check_end(after)
                except Broken as broken:
                    what = str(broken)
                    if what not in found:
                        found[what] = Violation(what, (*path(state), name))
        layer = following
    return Verdict(len(came_from), tuple(found.values()))
