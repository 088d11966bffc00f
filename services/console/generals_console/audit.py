"""The proof that nothing was lost and nothing is twice: marks and brute force, which must agree.

Brute force writes down every (game, player, tick) of the transitions, of the experiences and of the archive, and
compares the three sets. The marks say what a reader would say who only kept one mark a partition. What the collector
or the writer has not come to yet is pending, not lost; how far they have come is what they have committed or claimed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer
from numpy.typing import NDArray

from generals_client.positions import Deduplicator
from generals_console.ranges import TELL_THE_END, Range, read_ranges, whole_log
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import committed_offsets, connect, make_consumer, topic_ids
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import decode_batch, decode_chunk
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch, TransitionChunk
from generals_schemas.topics import Topics
from generals_writer.layout import hour_of

Keys = NDArray[np.int64]
PLAYER_FACTOR = 1 << 24
GAME_FACTOR = 16 * PLAYER_FACTOR
"""A key is game * 16 * 2^24 + player * 2^24 + tick: exact, for 2^35 games of 2^24 ticks."""

Progress = Callable[[str, int], None]


class PrunedRecords(NamedTuple):
    """Records whose rows were taken away by rule: those of `hour` (since 1970) at the offsets first … last."""

    partition: int
    hour: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ArchivedRows:
    """What the archive holds, from its objects alone: row i is (`game_ids[games[i]]`, `players[i]`, `ticks[i]`).

    starts, ends: for each partition of the experiences topic, where its archive begins, and the first record offset
    behind its unbroken run of finished segments: one that is claimed and not finished is pending, not lost.
    expired: offsets that were gone before they were archived, and chunks jumped over, by the claims' own word.
    damage: what is wrong with the claims.
    """

    game_ids: list[str]
    games: NDArray[np.int64]
    players: NDArray[np.int64]
    ticks: NDArray[np.int64]
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    pruned: Sequence[PrunedRecords] = ()
    expired: int = 0
    damage: Sequence[str] = ()


@dataclass(slots=True)
class AuditReport:
    """The verdict. Counts are experiences where not said otherwise.

    lost: emitted or collected, behind what the next stage has done, and not there.  duplicates: seen twice by a reader.
    repeats: records written twice and dropped by readers, as they should be.  rejected: chunks that failed validation.
    unreadable: records of the experiences topic that are none; readers stop before them.
    pending_*: not yet come to.  lost_by_marks: chunks a reader would report as missing.
    pruned: taken away from the archive by rule.  archive_expired, archive_damage: see `ArchivedRows`.
    """

    games_finished: int = 0
    unfinished_games: int = 0
    experiences_emitted: int = 0
    experiences_collected: int = 0
    experiences_archived: int | None = None
    lost: int = 0
    duplicates: int = 0
    repeats: int = 0
    rejected: int = 0
    unreadable: int = 0
    pending_collect: int = 0
    pending_archive: int = 0
    gaps_in_games: int = 0
    lost_by_marks: int = 0
    pruned: int = 0
    archive_expired: int = 0
    archive_damage: int = 0
    methods_agree: bool = True
    details: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Experiences lost, chunks that the marks jump over, and gaps in games, added up: 0 only if there are none."""
        return self.lost + self.lost_by_marks + self.gaps_in_games

    @property
    def pending(self) -> int:
        """What is still on its way, in both stages."""
        return self.pending_collect + self.pending_archive

    @property
    def clean(self) -> bool:
        wrong = self.missing or self.duplicates or self.unreadable or self.archive_expired or self.archive_damage
        return not wrong and self.methods_agree

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.clean}


class _Games:
    """Numbers for game ids, so that a key is one integer."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, game_id: str) -> int:
        return self._numbers.setdefault(game_id, len(self._numbers))

    def keys(self, game_id: str, player: int, ticks: Keys) -> Keys:
        return self.number(game_id) * GAME_FACTOR + player * PLAYER_FACTOR + ticks


@dataclass(slots=True)
class _Collected:
    """What the experiences topic holds.

    every: keys of all records.  accepted: keys that a deduplicating reader gets, with their record's partition, offset
    and hour.
    later: whether they were made of a chunk that was emitted after the audit began.
    done: for each partition, the first source offset that is not wholly collected.  rejected: source coordinates.
    unreadable: where a record is none, and why.
    """

    every: Keys
    accepted: Keys
    partitions: Keys
    offsets: Keys
    hours: Keys
    later: NDArray[np.bool_]
    done: dict[int, int]
    rejected: set[tuple[int, int]]
    unreadable: list[str]
    repeats: int
    lost_by_marks: int


def audit(
    kafka: KafkaSettings,
    *,
    collector_group: str,
    archive: Callable[[], ArchivedRows] | None = None,
    progress: Progress = lambda _stage, _records: None,
) -> AuditReport:
    """Read all topics (and the archive, if given) and compare. Works while everything runs: what is emitted after it
    has begun is not counted at any stage.

    Raises:
        KafkaUnavailable, TopicMissing.
        OperatorError: experiences were made from another transitions topic than the one that is there.
    """
    topics = kafka.topics()
    consumer = make_consumer(kafka, group_id="generals-audit", overrides=TELL_THE_END)
    games, report = _Games(), AuditReport()
    try:
        emitted = whole_log(consumer, topics.transitions.name)
        source_id = topic_ids(connect(kafka), [topics.transitions.name])[topics.transitions.name]
        acknowledged = _acknowledged(kafka, collector_group, topics.transitions.name, list(emitted))
        rows = archive() if archive else None
        collected = _read_experiences(consumer, topics, source_id, games, emitted, progress)
        done = {n: max(collected.done.get(n, 0), acknowledged[n] or 0) for n in emitted}
        expected = _read_transitions(
            consumer, topics.transitions.name, emitted, games, done, collected, report, progress
        )
    finally:
        consumer.close()
    _compare_collected(expected, collected, report)
    if rows is not None:
        _compare_archived(rows, collected, games, report)
    return report


def _acknowledged(kafka: KafkaSettings, group: str, topic: str, partitions: list[int]) -> dict[int, int | None]:
    """What the collectors have committed."""
    consumer = make_consumer(kafka, group_id=group)
    try:
        return committed_offsets(consumer, topic, partitions)
    finally:
        consumer.close()


def _read_experiences(
    consumer: Consumer,
    topics: Topics,
    source_id: str,
    games: _Games,
    emitted: Mapping[int, Range],
    progress: Progress,
) -> _Collected:
    topic = topics.experiences.name
    dedups = {number: Deduplicator(number) for number in emitted}
    every, accepted, partitions, offsets, hours, later = (_Columns() for _ in range(6))
    rejected: set[tuple[int, int]] = set()
    unreadable: list[str] = []
    lost = 0
    for count, message in enumerate(read_ranges(consumer, topic, whole_log(consumer, topic)), start=1):
        number, offset = message.partition() or 0, message.offset() or 0
        progress("experiences", count)
        try:
            batch = decode_batch(message.value() or b"")
        except BadRecord as error:
            unreadable.append(f"{topic}[{number}], offset {offset}: no experiences: {error}")
            continue
        if batch.source.topic_id != source_id:
            raise OperatorError(
                f"{topic}[{number}], offset {offset}: made from {batch.source.topic} with id {batch.source.topic_id}; "
                f"expected {topics.transitions.name} with id {source_id}. A topic that was deleted and made again has "
                f"other offsets: delete {topic} too, or begin anew under another kafka.topic_prefix"
            )
        dedup = dedups.setdefault(number, Deduplicator(number))
        if dedup.mark is None:  # nothing before the log's own beginning can have been collected
            lost += max(0, batch.source.offset - emitted[number].first)
        keys = _batch_keys(batch, games)
        every.add(keys)
        if dedup.accept(batch.source):
            accepted.add(keys)
            partitions.add(np.full(len(keys), number))
            offsets.add(np.full(len(keys), offset))
            hours.add(np.full(len(keys), hour_of(message.timestamp()[1])))
            later.add(np.full(len(keys), batch.source.offset >= emitted[batch.source.partition].end))
            if batch.rejected is not None:
                rejected.add((batch.source.partition, batch.source.offset))
    return _Collected(
        every=every.all(),
        accepted=accepted.all(),
        partitions=partitions.all(),
        offsets=offsets.all(),
        hours=hours.all(),
        later=later.all().astype(np.bool_),
        done={n: d.mark.offset + int(d.mark.complete) for n, d in dedups.items() if d.mark},
        rejected=rejected,
        unreadable=unreadable,
        repeats=sum(dedup.repeats for dedup in dedups.values()),
        lost_by_marks=lost + sum(dedup.lost for dedup in dedups.values()),
    )


def _batch_keys(batch: ExperienceBatch, games: _Games) -> Keys:
    if batch.rejected is not None:
        return np.zeros(0, np.int64)
    return games.keys(batch.game_id, batch.player, batch.first_tick + np.arange(batch.steps))


def _read_transitions(
    consumer: Consumer,
    topic: str,
    ranges: Mapping[int, Range],
    games: _Games,
    done: Mapping[int, int],
    collected: _Collected,
    report: AuditReport,
    progress: Progress,
) -> Keys:
    """The keys that must have been collected; counts what is emitted, pending, rejected, unfinished."""
    expected = _Columns()
    seen: dict[str, _Game] = {}
    whole = all(span.first == 0 for span in ranges.values())
    for count, message in enumerate(read_ranges(consumer, topic, ranges), start=1):
        number, offset = message.partition() or 0, message.offset() or 0
        progress("transitions", count)
        try:
            chunk = decode_chunk(message.value() or b"")
        except BadRecord:
            report.rejected += (number, offset) in collected.rejected
            continue
        if (number, offset) in collected.rejected:
            report.rejected += 1
            continue
        seen.setdefault(chunk.game_id, _Game()).add(chunk)
        keys = _chunk_keys(chunk, games)
        report.experiences_emitted += len(keys)
        if offset < done.get(number, 0):
            expected.add(keys)
        else:
            report.pending_collect += len(keys)
    report.games_finished = sum(game.final for game in seen.values())
    report.unfinished_games = len(seen) - report.games_finished
    report.gaps_in_games = sum(game.gaps(whole) for game in seen.values())
    return expected.all()


def _chunk_keys(chunk: TransitionChunk, games: _Games) -> Keys:
    keys = []
    for player in range(chunk.players):
        living = (chunk.alive[: chunk.ticks] >> player) & 1
        keys.append(games.keys(chunk.game_id, player, chunk.first_tick + np.flatnonzero(living)))
    return np.concatenate(keys)


class _Game:
    """The chunks of one game: whether they follow one another."""

    def __init__(self) -> None:
        self.final = False
        self._spans: list[tuple[int, int, int]] = []

    def add(self, chunk: TransitionChunk) -> None:
        self.final |= chunk.final
        self._spans.append((chunk.chunk, chunk.first_tick, chunk.first_tick + chunk.ticks))

    def gaps(self, from_the_beginning: bool) -> int:
        spans = sorted(self._spans)
        gaps = sum(after[0] != before[0] + 1 or after[1] != before[2] for before, after in pairwise(spans))
        return gaps + int(from_the_beginning and spans[0][:2] != (0, 0))


def _compare_collected(expected: Keys, collected: _Collected, report: AuditReport) -> None:
    distinct = np.unique(collected.every)
    accepted = np.unique(collected.accepted)
    twice_emitted = len(expected) - len(np.unique(expected))
    report.experiences_collected = len(np.unique(collected.accepted[~collected.later]))
    report.repeats = collected.repeats
    report.lost_by_marks = collected.lost_by_marks
    report.unreadable = len(collected.unreadable)
    report.details += collected.unreadable
    missing = np.setdiff1d(expected, accepted)
    report.lost += len(missing)
    report.duplicates += len(collected.accepted) - len(accepted)
    report.methods_agree &= np.array_equal(distinct, accepted) and (len(missing) == 0) == (collected.lost_by_marks == 0)
    if twice_emitted:
        report.details.append(f"{twice_emitted} experiences stand twice in the transitions topic itself")
    if len(distinct) != len(accepted):
        report.details.append(f"{len(distinct) - len(accepted)} experiences are in the log but dropped as repeats")
    if collected.lost_by_marks:
        report.details.append(f"the marks jump over {collected.lost_by_marks} chunks")


def _compare_archived(rows: ArchivedRows, collected: _Collected, games: _Games, report: AuditReport) -> None:
    numbers = np.array([games.number(game_id) for game_id in rows.game_ids] or [0], np.int64)
    keys = numbers[rows.games] * GAME_FACTOR + rows.players * PLAYER_FACTOR + rows.ticks
    distinct = np.unique(keys)
    report.experiences_archived = len(np.setdiff1d(distinct, collected.accepted[collected.later]))
    report.duplicates += len(keys) - len(distinct)
    claimed = np.zeros(len(collected.accepted), np.bool_)
    before = np.zeros(len(collected.accepted), np.bool_)
    for number in np.unique(collected.partitions):
        here = collected.partitions == number
        claimed |= here & (collected.offsets < rows.ends.get(int(number), 0))
        before |= here & (collected.offsets < rows.starts.get(int(number), 0))
    pruned = _pruned(rows, collected)
    wanted = collected.accepted[claimed & ~before & ~pruned]
    missing = np.setdiff1d(wanted, distinct)
    strangers = np.setdiff1d(distinct, collected.every)
    report.lost += len(missing)
    report.pending_archive = int((~claimed & ~collected.later).sum())
    report.pruned = int((pruned & ~collected.later).sum())
    report.archive_expired, report.archive_damage = rows.expired, len(rows.damage)
    report.details += rows.damage
    if len(missing):
        report.details.append(f"{len(missing)} claimed experiences are not in the archive's objects")
    if len(strangers):
        report.details.append(f"{len(strangers)} archived experiences are no longer in the experiences topic")


def _pruned(rows: ArchivedRows, collected: _Collected) -> NDArray[np.bool_]:
    """Which of the accepted experiences were taken away from the archive by rule."""
    pruned = np.zeros(len(collected.accepted), np.bool_)
    for taken in rows.pruned:
        of_its_hour = (collected.partitions == taken.partition) & (collected.hours == taken.hour)
        pruned |= of_its_hour & (collected.offsets >= taken.first) & (collected.offsets <= taken.last)
    return pruned


class _Columns:
    """Arrays gathered piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[Keys] = []

    def add(self, piece: Iterable[Any] | Keys) -> None:
        self._pieces.append(np.asarray(piece, np.int64))

    def all(self) -> Keys:
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int64)
