"""The reading side of an archive, for the `generals archive` command and for programs.

    store = open_store("s3://bucket/archive")          # or a folder
    ls(store), verify(store), repair(store, log), compact(store), prune(store, before_ms=…), export(store, target)
    places = positions(store, "generals.experiences")            # where the archive ends, now
    for batch in read(store, "generals.experiences", until=places): …          # as ExperienceStream gives them
    ExperienceStream(start=places, …)                            # goes on live from there

`log` is a `KafkaLog(kafka_settings)`. Every report has `to_json()`.
"""

from generals_runtime.objects import open_store
from generals_writer.catalog import Listing, ls, positions, read_chains
from generals_writer.compaction import CompactReport, compact
from generals_writer.exporting import ExportReport, export
from generals_writer.index import read_index, rebuild_indices
from generals_writer.kafka_log import KafkaLog
from generals_writer.pruning import PruneReport, prune
from generals_writer.reading import Wanted, flat_batches, read, read_entries
from generals_writer.repair import RepairReport, repair
from generals_writer.verify import VerifyReport, verify

__all__ = [
    "CompactReport",
    "ExportReport",
    "KafkaLog",
    "Listing",
    "PruneReport",
    "RepairReport",
    "VerifyReport",
    "Wanted",
    "compact",
    "export",
    "flat_batches",
    "ls",
    "open_store",
    "positions",
    "prune",
    "read",
    "read_chains",
    "read_entries",
    "read_index",
    "rebuild_indices",
    "repair",
    "verify",
]
