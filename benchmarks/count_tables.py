"""Counts what `zstd_rows` codes in play of the engine's heuristics, and prints the constants of `zstd_tables`.

    python benchmarks/count_tables.py [CHUNKS]

The tables of a changed program can be read by every reader, so they may be counted anew at any time; what is gained is
shorter records.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from generals_collector.tensorise import recipe, tensorise
from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_schemas.records import ExperienceBatch, Source, TransitionChunk
from generals_schemas.zstd_rows import BLOCK_BYTES, LEAST_MATCH, find_sequences
from generals_schemas.zstd_tables import (
    ARMIES,
    GENERAL,
    LITERAL_BASES,
    MATCH_BASES,
    NUMBERS,
    PLANES,
)

LONGEST_CODE = 11
_LOGS = {"LITERAL": 8, "MATCH": 7, "OFFSET": 8}


class Counts:
    """How often each literal of each kind, and each code of a sequence, was met."""

    def __init__(self) -> None:
        self.literals = np.ones((4, 256))  # any byte may come
        self.codes = {"LITERAL": np.zeros(36), "MATCH": np.zeros(53), "OFFSET": np.zeros(18)}
        self._bytes = np.empty(BLOCK_BYTES + 16, np.uint8)
        self._sequences = np.empty((BLOCK_BYTES // LEAST_MATCH + 1, 3), np.int32)

    def add(self, array: NDArray[np.generic], kind: int) -> None:
        data = np.frombuffer(np.ascontiguousarray(array).copy(), np.uint8)
        for start in range(0, data.size, BLOCK_BYTES):
            end = min(start + BLOCK_BYTES, data.size)
            count, kept = find_sequences(data, array.nbytes // len(array), start, end, self._bytes, self._sequences)
            self.literals[kind] += np.bincount(self._bytes[:kept], minlength=256)
            before, length, offset = self._sequences[:count].T
            self._add("LITERAL", np.searchsorted(LITERAL_BASES, before, side="right") - 1)
            self._add("MATCH", np.searchsorted(MATCH_BASES, length - 3, side="right") - 1)
            self._add("OFFSET", np.log2(offset).astype(int))

    def _add(self, name: str, codes: NDArray[np.intp]) -> None:
        self.codes[name] += np.bincount(codes, minlength=self.codes[name].size)

    def chunk(self, chunk: TransitionChunk) -> None:
        for array in (chunk.actions, chunk.armies, chunk.tiles):
            self.add(array, GENERAL)

    def batch(self, batch: ExperienceBatch) -> None:
        for array, kind in (
            (batch.actions, NUMBERS), (batch.rewards, NUMBERS), (batch.armies, ARMIES), (batch.bits, PLANES),
        ):  # fmt: skip
            self.add(array, kind)


def played(policy: str, count: int) -> Iterator[TransitionChunk]:
    """Chunks from beginnings, middles and ends of games."""
    pool = GamePool(
        PlaySettings(
            run="tables", policies=(find_policy(policy),), width=20, height=20, games=16, seed=5, tick_limit=1000,
            chunk_ticks=64,
        ),
        now_ms=lambda: 0,
    )  # fmt: skip
    chunks = (one.chunk for _ in itertools.count() for one in pool.advance() if one.chunk is not None)
    return itertools.islice(chunks, count)


def code_lengths(counts: NDArray[np.float64], longest: int = LONGEST_CODE) -> list[int]:
    """The lengths of the best prefix code in which none is longer than `longest`: package-merge."""
    leaves = sorted((count, (symbol,)) for symbol, count in enumerate(counts.tolist()))
    merged = leaves
    for _ in range(longest - 1):
        pairs = zip(merged[::2], merged[1::2], strict=False)  # the last one of an odd number is left out
        packages = [(one[0] + two[0], one[1] + two[1]) for one, two in pairs]
        merged = sorted(leaves + packages, key=lambda item: item[0])
    lengths = [0] * len(leaves)
    for _, symbols in merged[: 2 * len(leaves) - 2]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths


def shares(counts: NDArray[np.float64], log: int) -> list[int]:
    """Shares of 2^log; -1 for what is rarer than that, or was never met."""
    size = 1 << log
    found = np.floor(counts / counts.sum() * size).astype(int)
    found[found < 2] = -1
    while (spare := size - int(np.abs(found).sum())) != 0:
        # What a share more, or less, changes in the bits that are written.
        near = np.abs(found) + np.sign(spare)
        gain = np.where(near > 1, counts * np.abs(np.log2(np.maximum(near, 1) / np.abs(found))), -np.inf)
        found[int(np.argmax(gain) if spare > 0 else np.argmin(np.where(near > 1, gain, np.inf)))] += int(np.sign(spare))
    return [int(share) for share in found]


def count(chunks: int) -> Counts:
    counts = Counts()
    how = recipe()
    for policy in ("random", "expander"):
        for chunk in played(policy, chunks):
            counts.chunk(chunk)
            for batch in tensorise(chunk, Source("t", "t", 0, 0, 0, 1), how):
                counts.batch(batch)
    return counts


def main(arguments: Sequence[str]) -> None:
    counts = count(int(arguments[0]) if arguments else 600)
    for name, log in _LOGS.items():
        sys.stdout.write(f"_{name}_SHARES = {shares(counts.codes[name], log)}\n")
    for kind in range(4):
        digits = "".join(f"{length:x}" for length in code_lengths(counts.literals[kind]))
        sys.stdout.write("\n".join(f'    "{digits[start : start + 86]}"' for start in range(0, 256, 86)) + ",\n")


if __name__ == "__main__":
    main(sys.argv[1:])
