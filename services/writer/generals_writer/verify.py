"""Is the archive whole? Chains of claims, checksums of objects, and every row's key, brute force.

Nothing is trusted that can be counted: objects are read, their rows counted and compared by game, player and tick.
Memory: the keys of one partition at a time (a game never leaves its partition), 20 bytes a row.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from generals_runtime.objects import NotFound, ObjectStore
from generals_writer.catalog import Chain, Problem, read_chains
from generals_writer.errors import CorruptObject
from generals_writer.formats import Keys, format_of
from generals_writer.generations import Held
from generals_writer.layout import LogPartition, claim_key, seal_key
from generals_writer.publisher import Log

Progress = Callable[[str, int], None]
"""Called with an object's name and its rows, after it was looked at."""


@dataclass(slots=True)
class VerifyReport:
    """The verdict. missing, duplicate and corrupt are 0 in a whole archive.

    missing: objects, claims or whole runs of offsets that should be there.  duplicate: rows with a key seen before,
    offsets claimed twice, games in two partitions.  corrupt: objects, claims and seals that are not what was written.
    stray: objects that no claim names (harmless to readers that go by claims).
    pending: segments begun and not yet sealed.  behind: records of the log not yet claimed; None if no log was asked.
    lost_chunks, rejected, repeats, unreadable, expired: what the writers counted in the log.
    pruned: rows taken away by rule.
    """

    segments: int = 0
    pending: int = 0
    objects: int = 0
    rows: int = 0
    bytes: int = 0
    missing: int = 0
    duplicate: int = 0
    corrupt: int = 0
    stray: int = 0
    behind: int | None = None
    lost_chunks: int = 0
    rejected: int = 0
    repeats: int = 0
    unreadable: int = 0
    expired: int = 0
    pruned: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.duplicate or self.corrupt)

    def add(self, problem: Problem, count: int = 1) -> None:
        self.problems.append(problem)
        setattr(self, problem.kind, getattr(self, problem.kind) + count)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean}


class BoundedLog(Log, Protocol):
    """A log that also says where it ends, as `KafkaLog` does."""

    def bounds(self, log: LogPartition) -> tuple[int, int]:
        """The oldest offset and the one behind the newest."""
        raise NotImplementedError


def verify(
    store: ObjectStore, topic: str | None = None, *, log: BoundedLog | None = None, progress: Progress | None = None
) -> VerifyReport:
    """Check the whole archive (of one topic). With `log`, also how far it is behind.

    Raises:
        StoreError: the store cannot be read.
    """
    report = VerifyReport()
    chains = read_chains(store, topic)
    game_of: dict[str, LogPartition] = {}
    for chain in chains:
        for problem in chain.broken:
            report.add(problem)
        _check_chain(chain, report)
        _check_seals(chain, report)
        keys = list(_check_objects(store, chain, report, progress))
        _check_keys(chain.log, keys, game_of, report)
        if log is not None:
            _, high = log.bounds(chain.log)
            end = max((segment.claim.end for segment in chain.segments), default=0)
            report.behind = (report.behind or 0) + max(0, high - end)
    _check_strays(store, chains, topic, report)
    return report


def wrong_joints(chain: Chain) -> Iterator[tuple[Problem, int]]:
    """Where a claim does not begin with what the one before it, or the partition's beginning, ended with. With each how
    much to count."""
    segments = chain.segments
    first = chain.beginning.first if chain.beginning else None
    if segments and first is not None and segments[0].claim.first != first:
        yield _gap(chain.log, first, segments[0].claim.first), 1
    for one, two in pairwise(segments):
        end, start = one.claim.end, two.claim.first
        where = claim_key(chain.log, start)
        if start > end:
            yield _gap(chain.log, end, start), 1
        elif start < end:
            yield Problem("duplicate", where, f"offsets [{start}, {end}) are claimed twice"), end - start
        elif one.claim.after != two.claim.before:
            yield Problem("corrupt", where, "its mark is not the one that the claim before it ended with"), 1


def _gap(log: LogPartition, start: int, end: int) -> Problem:
    return Problem("missing", claim_key(log, start), f"no claim holds offsets [{start}, {end})")


def _check_chain(chain: Chain, report: VerifyReport) -> None:
    segments = chain.segments
    for problem, count in wrong_joints(chain):
        report.add(problem, count)
    for segment in segments[:-1]:
        if segment.seal is None:
            report.add(
                Problem(
                    "missing", seal_key(chain.log, segment.claim.first), "not there, though later segments were claimed"
                )
            )
    for segment in segments:
        counts = segment.claim.counts
        report.lost_chunks += counts.lost
        report.rejected += counts.rejected
        report.repeats += counts.repeats
        report.unreadable += counts.unreadable
        report.expired += counts.expired
        report.segments += segment.seal is not None
    report.pending += bool(segments) and segments[-1].seal is None


def _check_seals(chain: Chain, report: VerifyReport) -> None:
    """A seal names exactly what its claim promised."""
    for segment in chain.segments:
        promised = {planned.key: planned.rows for planned in segment.claim.objects}
        if segment.seal and {key: entry.rows for key, entry in segment.stored().items()} != promised:
            where = seal_key(chain.log, segment.claim.first)
            report.add(Problem("corrupt", where, "it names other objects than its claim"))


def _check_objects(store: ObjectStore, chain: Chain, report: VerifyReport, progress: Progress | None) -> Iterator[Keys]:
    for held in chain.held():
        keys, problem = look_at(store, held)
        if problem is not None:
            report.add(problem)
        else:
            report.objects += 1
            report.rows += held.rows
            report.bytes += held.bytes
        if keys is not None:
            yield keys
        if progress is not None:
            progress(held.key, held.rows)
    if chain.generation is not None:
        report.pruned += sum(pruned.rows for pruned in chain.generation.pruned.values())


def look_at(store: ObjectStore, held: Held) -> tuple[Keys | None, Problem | None]:
    """An object's keys, or what is wrong with it."""
    try:
        data = store.get(held.key)
    except NotFound:
        return None, Problem("missing", held.key, "the object is not there", held.rows)
    if sha256(data).hexdigest() != held.sha256:
        what = f"its SHA-256 is not the one sealed ({len(data)} bytes, sealed {held.bytes})"
        return None, Problem("corrupt", held.key, what, held.rows)
    form = format_of(held.key)
    try:
        keys = form.keys(data) if form else None
    except CorruptObject as error:
        return None, Problem("corrupt", held.key, str(error), held.rows)
    if keys is None or len(keys) != held.rows:
        what = f"{held.rows} rows were claimed, {0 if keys is None else len(keys)} are there"
        return None, Problem("corrupt", held.key, what, held.rows)
    return keys, None


def _check_keys(log: LogPartition, keys: list[Keys], game_of: dict[str, LogPartition], report: VerifyReport) -> None:
    """Rows of a partition with the same game, player and tick; and games that lie in two partitions."""
    codes: dict[str, int] = {}
    parts: list[NDArray[np.int64]] = []
    for entry in keys:
        known = np.array([codes.setdefault(game, len(codes)) for game in entry.game_id.values], np.int64)
        if len(known):
            parts.append((known[entry.game_id.codes] << 36) | (entry.player.astype(np.int64) << 32) | entry.tick)
    rows = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
    twice = np.flatnonzero(rows[1:] == rows[:-1])
    if len(twice):
        names = list(codes)
        key = int(rows[twice[0]])
        what = f"game {names[key >> 36]} player {(key >> 32) & 15} tick {key & 0xFFFFFFFF} and others are there twice"
        report.add(Problem("duplicate", f"{log.topic} partition {log.number}", what, len(twice)), len(twice))
    for game in codes:
        other = game_of.setdefault(game, log)
        if other != log and other.topic == log.topic:
            what = f"game {game} is also in partition {other.number}"
            report.add(Problem("duplicate", f"{log.topic} partition {log.number}", what))


def _check_strays(store: ObjectStore, chains: list[Chain], topic: str | None, report: VerifyReport) -> None:
    promised = {planned.key for chain in chains for segment in chain.segments for planned in segment.claim.objects}
    for chain in chains:
        if chain.generation is not None:
            promised |= set(chain.generation.merged) | set(chain.generation.replaced)
            promised -= set(chain.generation.pruned)
    for info in store.list(f"topic={topic}/" if topic else "topic="):
        if format_of(info.key) is not None and info.key not in promised:
            report.add(Problem("stray", info.key, "no claim names it, or it was pruned"))
