"""P9: the archive beside pyarrow's plain path and Minari's Parquet, on the same real play, 20x20, two players.

Ours writes what a writer writes: records as Kafka holds them → repeats dropped, sorted by hour and game, one Parquet
object, on disk with fsync; and reads back the very ExperienceBatches. pyarrow's plain path gets decoded arrays, a row
an experience with state and next state as bytes, default settings. Minari gets the same packed observations, an
episode a chunk, its Parquet storage; it lives in an environment of its own under `.benchmarks/`, made on first use.

    python benchmarks/archive.py [--experiences 400000] [--peers pyarrow,minari]
"""

import argparse
import gc
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from environments import OUT, python_with
from real_play import play

from generals_runtime.objects import open_store
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch
from generals_writer.build import LogRecord, Origin, build
from generals_writer.claims import Cursor
from generals_writer.layout import LogPartition
from generals_writer.publisher import Publisher
from generals_writer.reading import read_entries

HERE = Path(__file__).parent
WORK = OUT / "archive"
LOG = LogPartition("generals.experiences", 0)
ORIGIN = Origin(LOG, "bench")
MINARI_SHARE = 20
"""Minari writes a folder an episode and is slow: it gets this fraction of the play, and rates are compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiences", type=int, default=400_000)
    parser.add_argument("--peers", default="pyarrow,minari")
    parser.add_argument("--rounds", type=int, default=5, help="ours and pyarrow in turn; the best of each counts")
    options = parser.parse_args()
    batches = real_batches(options.experiences)
    records = [LogRecord(n, 1_750_000_000_000 + n, encode_batch(batch)) for n, batch in enumerate(batches)]
    gc.freeze()  # as every service does before it runs; the play that is kept for the peers is not in a writer's memory
    measures: dict[str, Callable[[], dict[str, float]]] = {"ours": lambda: ours(records)}
    if "pyarrow" in options.peers:
        measures["pyarrow"] = lambda: plain_pyarrow(batches)
    best: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for name, measure in measures.items():
            found = measure()
            best[name] = {key: max(value, best.get(name, {}).get(key, 0.0)) for key, value in found.items()}
    if "minari" in options.peers:
        minari = beside_minari(batches[: len(batches) // MINARI_SHARE])
        if minari is not None:
            best["minari"] = minari
    topic = sum(len(record.value) for record in records) / sum(batch.steps for batch in batches)
    report(best, topic)


def real_batches(experiences: int) -> list[ExperienceBatch]:
    """Whole chunks of expander against expander until there are enough experiences."""
    batches: list[ExperienceBatch] = []
    total = 0
    for batch in play(side=20, games=64):
        batches.append(batch)
        total += batch.steps
        if total >= experiences:
            return batches
    raise AssertionError("play has no end")


def ours(records: list[LogRecord]) -> dict[str, float]:
    """Claim, object and seal on a local disk; read back as batches, and by pyarrow alone."""
    shutil.rmtree(WORK, ignore_errors=True)
    store = open_store(WORK)
    begun = time.perf_counter()
    built = build(records, before=Cursor(0), end=len(records), origin=ORIGIN, format_name="parquet")
    publisher = Publisher(store, NoLog(), ORIGIN)
    for _ in publisher.settle():
        pass
    for _ in publisher.publish(built):
        pass
    written = time.perf_counter() - begun
    begun = time.perf_counter()
    rows = sum(entry.steps for _, entry in read_entries(store, LOG.topic, order="stored"))
    read = time.perf_counter() - begun
    if rows != built.claim.counts.rows or rows != sum(pq.read_metadata(p).num_rows for p in WORK.rglob("*.parquet")):
        raise AssertionError("what was read is not what was written")
    return {"write": rows / written, "read": rows / read, "bytes": built.size_bytes / rows}


class NoLog:
    """Nothing has to be read again here."""

    def first_offset(self, log: LogPartition) -> int:
        return 0

    def read(self, log: LogPartition, first: int, end: int) -> list[LogRecord]:
        raise AssertionError("the log was asked for")


def plain_pyarrow(batches: list[ExperienceBatch]) -> dict[str, float]:
    """What one writes first: both states as bytes in each row, default settings (snappy)."""
    path = WORK / "plain.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    writer: pq.ParquetWriter | None = None
    for start in range(0, len(batches), 512):
        table = plain_table(batches[start : start + 512])
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is None:
        raise AssertionError("no play")
    writer.close()
    written = time.perf_counter() - begun
    begun = time.perf_counter()
    file = pq.ParquetFile(path)
    rows = sum(file.read_row_group(group).num_rows for group in range(file.num_row_groups))
    read = time.perf_counter() - begun
    return {"write": rows / written, "read": rows / read, "bytes": path.stat().st_size / rows}


def plain_table(batches: list[ExperienceBatch]) -> pa.Table:
    states = [packed(batch) for batch in batches]
    width = states[0].shape[1]
    repeated = [batch.steps for batch in batches]

    def column(parts: list[np.ndarray]) -> pa.Array:
        data = np.concatenate(parts)
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(data), [None, pa.py_buffer(data)])

    return pa.table(
        {
            "game_id": np.repeat([batch.game_id for batch in batches], repeated),
            "player": np.repeat([batch.player for batch in batches], repeated),
            "tick": np.concatenate([batch.first_tick + np.arange(batch.steps) for batch in batches]),
            "action": np.concatenate([batch.actions for batch in batches]),
            "reward": np.concatenate([batch.rewards for batch in batches]),
            "state": column([rows[:-1] for rows in states]),
            "next_state": column([rows[1:] for rows in states]),
        }
    )


def packed(batch: ExperienceBatch) -> np.ndarray:
    """`[N + 1, bytes]`: armies and planes of each state."""
    bits = batch.bits.reshape(batch.steps + 1, -1)
    return np.concatenate([np.ascontiguousarray(batch.armies).view(np.uint8), bits], axis=1)


def beside_minari(batches: list[ExperienceBatch]) -> dict[str, float] | None:
    """Minari in its own environment; None, with a word on stderr, if it cannot be had."""
    python = python_with("minari", ["minari[arrow]", "pillow", "jax", "numpy"])
    if python is None:
        return None
    play_file = OUT / "archive-play.npz"
    np.savez(
        play_file,
        observations=np.concatenate([packed(batch) for batch in batches]),
        actions=np.concatenate([batch.actions for batch in batches]),
        rewards=np.concatenate([batch.rewards for batch in batches]),
        steps=[batch.steps for batch in batches],
    )
    command = [str(python), str(HERE / "peers" / "archive_minari.py"), str(play_file), str(WORK / "minari")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"minari failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def report(best: dict[str, dict[str, float]], topic_bytes: float) -> None:
    peers = [name for name in best if name != "ours"] or [None]
    for peer in peers:
        theirs = best[peer] if peer else {}
        for name, unit, better in (("write", "1/s", 1), ("read", "1/s", 1), ("bytes", "bytes", -1)):
            value, other = best["ours"][name], theirs.get(name)
            ratio = None if other is None else round((value / other) ** better, 2)
            line(f"archive_{name}", value, unit, peer, other, ratio)
    line("archive_bytes_beside_topic", best["ours"]["bytes"], "bytes", "records before Kafka compresses them",
         topic_bytes, round(topic_bytes / best["ours"]["bytes"], 2))  # fmt: skip


def line(name: str, value: float, unit: str, peer: str | None, peer_value: float | None, ratio: float | None) -> None:
    rounded = None if peer_value is None else round(peer_value, 2)
    print(
        json.dumps(
            {"id": "P9", "name": name, "value": round(value, 2), "unit": unit, "peer": peer, "peer_value": rounded,
             "ratio": ratio}
        ), flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
