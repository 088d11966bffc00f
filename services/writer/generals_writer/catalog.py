"""What an archive holds, by its claims and seals: the reading side's view of it."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from generals_client.positions import Position
from generals_runtime.objects import NotFound, ObjectStore
from generals_writer.claims import Beginning, Claim, Seal, Stored
from generals_writer.errors import CorruptObject
from generals_writer.generations import Generation, Held, newest_generation
from generals_writer.layout import (
    CLAIMS,
    GENERATIONS,
    LogPartition,
    beginning_key,
    parse_claim_key,
    seal_key,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one thing in the archive. kind: `missing`, `duplicate`, `corrupt` or `stray`."""

    kind: str
    where: str
    what: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A claim and its seal. Without a seal it is still being written, if it is its partition's last."""

    claim: Claim
    seal: Seal | None

    def stored(self) -> dict[str, Stored]:
        """The objects that the seal names."""
        return {entry.key: entry for entry in self.seal.objects} if self.seal else {}


@dataclass(slots=True)
class Chain:
    """One partition's segments in the order of their offsets. broken: what could not be read of it."""

    log: LogPartition
    beginning: Beginning | None = None
    generation: Generation | None = None
    segments: list[Segment] = field(default_factory=list)
    broken: list[Problem] = field(default_factory=list)

    @property
    def sealed(self) -> list[Segment]:
        """The unbroken run of sealed segments from the beginning: what is surely archived."""
        run: list[Segment] = []
        for segment in self.segments:
            if segment.seal is None or (run and run[-1].claim.end != segment.claim.first):
                break
            run.append(segment)
        return run

    def held(self) -> list[Held]:
        """The objects that readers are to read: those sealed, less those merged or pruned, and the merged ones."""
        generation = self.generation or Generation(self.log)
        found = []
        for segment in self.segments:
            stored = segment.stored()
            for planned in segment.claim.objects:
                entry = stored.get(planned.key)
                if entry and planned.key not in generation.replaced and planned.key not in generation.pruned:
                    found.append(Held(**asdict(planned), bytes=entry.bytes, sha256=entry.sha256))
        found += [held for key, held in generation.merged.items() if key not in generation.pruned]
        return sorted(found, key=lambda held: (held.first_offset, held.key))

    @property
    def position(self) -> Position | None:
        """Where a reader of the live topic goes on behind the archive; None if nothing is archived yet."""
        run = self.sealed
        if not run:
            return None
        after = run[-1].claim.after
        return Position(self.log.topic, self.log.number, after.offset, after.mark, after.source_id)


@dataclass(frozen=True, slots=True)
class HourListing:
    """One hour's folder."""

    topic: str
    folder: str
    objects: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PartitionListing:
    """One partition: the offsets [first, end) are archived in `segments` segments; `pending` more are begun."""

    topic: str
    partition: int
    first: int
    end: int
    segments: int
    pending: int
    rows: int
    rejected: int
    repeats: int
    lost: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What `generals archive ls` shows."""

    url: str
    hours: tuple[HourListing, ...]
    partitions: tuple[PartitionListing, ...]

    @property
    def rows(self) -> int:
        return sum(hour.rows for hour in self.hours)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "rows": self.rows, "bytes": sum(hour.bytes for hour in self.hours)}


def read_chains(store: ObjectStore, topic: str | None = None) -> list[Chain]:
    """The chains of all partitions (of one topic). Damage is noted in `broken`, not raised."""
    chains: dict[LogPartition, Chain] = {}
    for info in store.list(f"{CLAIMS}{topic}/" if topic else CLAIMS):
        parsed = parse_claim_key(info.key)
        if parsed is None:
            continue
        log, first = parsed
        chain = chains.setdefault(log, Chain(log))
        try:
            claim = Claim.from_bytes(info.key, store.get(info.key))
        except CorruptObject as error:
            chain.broken.append(Problem("corrupt", info.key, str(error)))
            continue
        if (claim.log, claim.first) != (log, first):
            chain.broken.append(
                Problem(
                    "corrupt",
                    info.key,
                    f"it claims {claim.topic} partition {claim.partition} from offset {claim.first} on",
                )
            )
            continue
        chain.segments.append(Segment(claim, _seal(store, chain, claim)))
    for chain in chains.values():
        chain.beginning = _beginning(store, chain)
        try:
            chain.generation = newest_generation(store, chain.log)
        except CorruptObject as error:
            chain.broken.append(Problem("corrupt", GENERATIONS, str(error)))
    return [chains[log] for log in sorted(chains)]


def positions(store: ObjectStore, topic: str) -> list[Position]:
    """The exact position behind each partition's archive, now: `read(until=…)` reads to there, and
    `ExperienceStream(start=…)` goes on live from there."""
    return [found for chain in read_chains(store, topic) if (found := chain.position) is not None]


def ls(store: ObjectStore, topic: str | None = None) -> Listing:
    """What the archive holds by hour and by partition, by its claims and seals; objects are not looked at."""
    chains = read_chains(store, topic)
    totals: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for chain in chains:
        for held in chain.held():
            total = totals[chain.log.topic, held.key.rpartition("/")[0] + "/"]
            for index, value in enumerate((1, held.rows, held.bytes)):
                total[index] += value
    hours = tuple(HourListing(name, folder, *total) for (name, folder), total in sorted(totals.items()))
    return Listing(store.url, hours, tuple(_partition(chain) for chain in chains if chain.segments))


def _partition(chain: Chain) -> PartitionListing:
    sealed = chain.sealed
    counts = [segment.claim.counts for segment in sealed]
    return PartitionListing(
        topic=chain.log.topic,
        partition=chain.log.number,
        first=chain.segments[0].claim.first,
        end=sealed[-1].claim.end if sealed else chain.segments[0].claim.first,
        segments=len(sealed),
        pending=len(chain.segments) - len(sealed),
        rows=sum(count.rows for count in counts),
        rejected=sum(count.rejected for count in counts),
        repeats=sum(count.repeats for count in counts),
        lost=sum(count.lost + count.expired for count in counts),
    )


def _seal(store: ObjectStore, chain: Chain, claim: Claim) -> Seal | None:
    key = seal_key(chain.log, claim.first)
    try:
        seal = Seal.from_bytes(key, store.get(key))
    except NotFound:
        return None
    except CorruptObject as error:
        chain.broken.append(Problem("corrupt", key, str(error)))
        return None
    if (seal.first, seal.end) != (claim.first, claim.end):
        what = f"it seals [{seal.first}, {seal.end}), its claim is [{claim.first}, {claim.end})"
        chain.broken.append(Problem("corrupt", key, what))
        return None
    return seal


def _beginning(store: ObjectStore, chain: Chain) -> Beginning | None:
    key = beginning_key(chain.log)
    try:
        return Beginning.from_bytes(key, store.get(key))
    except NotFound:
        chain.broken.append(Problem("missing", key, "the partition's beginning is not there"))
    except CorruptObject as error:
        chain.broken.append(Problem("corrupt", key, str(error)))
    return None
