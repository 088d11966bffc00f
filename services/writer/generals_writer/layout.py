"""The names of everything in an archive. Nothing here is ever renamed: readers, writers and claims rely on them.

    topic=T/year=Y/month=M/day=D/hour=H/T-<partition>-<first offset>.<extension>    experiences, by hour of record time
    _segments/T/<partition>/beginning.json                                           where the first claim begins
    _segments/T/<partition>/<first offset>.json                                      claims
    _seals/T/<partition>/<first offset>.json                                         what was stored of each claim
    _generations/T/<partition>/<number>.json                                         what was merged or pruned since

Names that begin with an underscore are skipped by Hive-style readers (pyarrow, DuckDB's globs by extension, Spark).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

HOUR_MS = 3_600_000
LAST_HOUR = 70_389_527
"""The last one of the year 9999: a calendar has no name for later ones."""
CLAIMS = "_segments/"
SEALS = "_seals/"
GENERATIONS = "_generations/"
OFFSET_DIGITS = 20


@dataclass(frozen=True, slots=True, order=True)
class LogPartition:
    """One partition of one topic."""

    topic: str
    number: int


def hour_of(timestamp_ms: int) -> int:
    """The hour that a record belongs to, in hours since 1970. A record without a time is of hour 0.

    Times are what a producer says, microseconds by mistake, say: what is off the calendar is of its last hour.
    """
    return min(max(0, timestamp_ms) // HOUR_MS, LAST_HOUR)


def hour_folder(topic: str, hour: int) -> str:
    """The folder of an hour, with its slash."""
    at = datetime.fromtimestamp(hour * 3600, UTC)
    return f"topic={topic}/year={at.year:04d}/month={at.month:02d}/day={at.day:02d}/hour={at.hour:02d}/"


def object_key(log: LogPartition, first: int, hour: int, extension: str) -> str:
    return f"{hour_folder(log.topic, hour)}{log.topic}-{log.number}-{first:0{OFFSET_DIGITS}d}.{extension}"


def claims_folder(log: LogPartition) -> str:
    return f"{CLAIMS}{log.topic}/{log.number}/"


def claim_key(log: LogPartition, first: int) -> str:
    return f"{claims_folder(log)}{first:0{OFFSET_DIGITS}d}.json"


def beginning_key(log: LogPartition) -> str:
    return f"{claims_folder(log)}beginning.json"


def seal_key(log: LogPartition, first: int) -> str:
    return f"{SEALS}{log.topic}/{log.number}/{first:0{OFFSET_DIGITS}d}.json"


def parse_claim_key(key: str) -> tuple[LogPartition, int] | None:
    """The partition and first offset that a claim's or seal's name says; None for another name."""
    parts = key.split("/")
    if len(parts) != 4 or f"{parts[0]}/" not in (CLAIMS, SEALS) or not parts[3].endswith(".json"):
        return None
    number, first = parse_number(parts[2]), parse_number(parts[3].removesuffix(".json"))
    return None if number is None or first is None else (LogPartition(parts[1], number), first)


def generation_key(log: LogPartition, number: int) -> str:
    return f"{GENERATIONS}{log.topic}/{log.number}/{number:0{OFFSET_DIGITS}d}.json"


def parse_generation_key(key: str) -> int | None:
    """The number that a generation's name says; None for another name."""
    return parse_number(key.rpartition("/")[2].removesuffix(".json")) if key.startswith(GENERATIONS) else None


def parse_number(text: str) -> int | None:
    """The number that a part of a name is; None for anything else, other scripts' digits and superscripts too."""
    return int(text) if text.isascii() and text.isdecimal() else None


def merged_key(log: LogPartition, first: int, hour: int, generation: int, run: str, extension: str) -> str:
    """A merged object: named by its first segment's offset, the generation to name it, and the run that made it."""
    name = f"{log.topic}-{log.number}-{first:0{OFFSET_DIGITS}d}-g{generation}-{run}"
    return f"{hour_folder(log.topic, hour)}{name}.{extension}"


def parse_merged_key(log: LogPartition, key: str) -> int | None:
    """The generation that a merged object of this partition was made for; None for another name.

    Earlier versions gave names without the run.
    """
    name = re.escape(f"{log.topic}-{log.number}-")
    found = re.fullmatch(rf"topic=.*/{name}\d{{{OFFSET_DIGITS}}}-g(\d+)(-\w+)?\.[a-z.]+", key, re.ASCII)
    return int(found[1]) if found else None
