"""P6: packed states to float32 tensors, on one core, beside numpy's unpackbits on the same rows.

The rows are real play (expander against expander, 20 x 20, whole games), drawn at random as a replay buffer draws them,
a batch at a time into memory that is used again; `fresh` allocates each batch. `mask` adds the legal-action mask, and
`record` is the whole way of a reader: a record's bytes, checked, decompressed, its states made. `memory` is what
`memset` does to the same buffer: the bandwidth that the stretch target means.

Best of many rounds: other work on the machine only slows.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_play import play

from generals_client.expand import expand, legal_actions
from generals_schemas.codec import decode_batch, encode_batch
from generals_schemas.encodings import get_encoding
from generals_schemas.records import ExperienceBatch

ENCODING = get_encoding("nine_planes")


def unpackbits(armies: NDArray[np.uint16], bits: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """What one writes first: unpack all planes, derive three, scale armies. `[N, 9, HW]`."""
    count = armies.shape[1]
    own, enemy, city, mountain = np.moveaxis(np.unpackbits(bits, axis=2, count=count, bitorder="little"), 1, 0)
    land = np.pad(own.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
    rows = land[:, :-2] | land[:, 1:-1] | land[:, 2:]
    visible = (rows[:, :, :-2] | rows[:, :, 1:-1] | rows[:, :, 2:]).reshape(-1, count)
    scaled = np.minimum(armies.astype(np.float32) / np.float32(1000), np.float32(1))
    neutral = visible & ~(own | enemy | mountain)
    planes = (scaled * own, scaled * enemy, own, enemy, neutral, city, mountain, visible, 1 - visible)
    return np.stack([plane.astype(np.float32, copy=False) for plane in planes], axis=1)


def rate(work: Callable[[], object], items: int, seconds: float) -> float:
    """Items a second in the best round."""
    work()
    best, deadline = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return items / best


def report(name: str, value: float, peer: str, peer_value: float) -> None:
    line = {"id": "P6", "name": name, "value": round(value), "unit": "states/s/core", "peer": peer}
    print(json.dumps({**line, "peer_value": round(peer_value), "ratio": round(value / peer_value, 2)}), flush=True)


class Rows:
    """Packed rows of many records, and a batch drawn from them."""

    def __init__(self, records: list[ExperienceBatch], batch: int, seed: int = 1) -> None:
        self.armies = np.concatenate([record.armies for record in records])
        self.bits = np.concatenate([record.bits for record in records])
        self.scalars = np.concatenate([record.scalars for record in records])
        self.rows = np.random.default_rng(seed).integers(0, len(self.armies), batch)
        self.side = records[0].width
        self.out = np.zeros((batch, 9, self.side, self.side), np.float32)

    def expand(self, out: NDArray[np.float32] | None) -> NDArray[Any]:
        side = self.side
        return expand(
            ENCODING, armies=self.armies, bits=self.bits, scalars=self.scalars, rows=self.rows, width=side,
            height=side, out=out,
        )  # fmt: skip

    def mask(self) -> NDArray[np.bool_]:
        return legal_actions(
            armies=self.armies, bits=self.bits, rows=self.rows, width=self.side, height=self.side,
            planes=ENCODING.planes,
        )  # fmt: skip

    def numpy(self) -> NDArray[np.float32]:
        return unpackbits(self.armies[self.rows], self.bits[self.rows], self.side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring, for each figure")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--records", type=int, default=400)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    played = [r for r in itertools.islice(play(side=20, games=8), options.records) if r.armies.dtype == np.uint16]
    rows = Rows(played, options.batch)
    np.testing.assert_array_equal(rows.expand(None).reshape(options.batch, 9, -1), rows.numpy())

    def measure(work: Callable[[], object]) -> float:
        return rate(work, options.batch, options.seconds)

    def fill() -> None:
        rows.out[:] = 1

    def both() -> None:
        rows.expand(rows.out)
        rows.mask()

    wire = [encode_batch(record) for record in played[-50:]]

    def read() -> None:
        for record in wire:
            batch = decode_batch(record)
            expand(
                ENCODING, armies=batch.armies, bits=batch.bits, scalars=batch.scalars,
                rows=np.arange(batch.steps), width=batch.width, height=batch.height,
            )  # fmt: skip

    slow = measure(rows.numpy)
    report("to float32", measure(lambda: rows.expand(rows.out)), "numpy unpackbits", slow)
    report("to float32, fresh", measure(lambda: rows.expand(None)), "numpy unpackbits", slow)
    report("to float32 and mask", measure(both), "numpy unpackbits, no mask", slow)
    steps = sum(decode_batch(record).steps for record in wire)
    report("record", rate(read, steps, options.seconds), "numpy unpackbits of rows", slow)
    report("memory bandwidth reached", measure(lambda: rows.expand(rows.out)), "memset of the buffer", measure(fill))


if __name__ == "__main__":
    main()
