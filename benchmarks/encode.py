"""P3: a chunk's views, rewards and legal-action masks, experiences a second on one core, beside a naive compiled path.

The work: chunks of the default length, expander against expander on 20 x 20, two players. From each come, for both
players, the packed states of all T + 1 boards, the packed legal moves of all of them, and T rewards. Decoding,
validation and zstd are not in it; the second figure has all of them. In the pipeline it is readers who derive the moves
(ADR 0002); they are made here so that the work is the same as everybody else's.

The peer is the same work done tile by tile and board by board in numba, each board anew, as one writes it first.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from generals_collector.conversion import Converter, RawRecord
from generals_collector.legal import legal_moves
from generals_collector.rewards import gather_facts
from generals_collector.survey import survey
from generals_collector.tensorise import recipe, steps_lived
from generals_collector.views import player_views
from generals_engine.games import GamePool
from generals_engine.play_settings import CHUNK_TICKS, PlaySettings
from generals_engine.policies import find_policy
from generals_schemas.codec import decode_chunk, encode_chunk
from generals_schemas.jit import jit
from generals_schemas.records import Source, TransitionChunk

SOURCE = Source("bench", "bench", 0, 0, 0, 1)


def chunks(count: int, *, side: int = 20, ticks: int = CHUNK_TICKS, seed: int = 1) -> list[TransitionChunk]:
    """Real chunks as they come from the log: from beginnings, middles and ends of games."""
    some = itertools.islice(played(side=side, ticks=ticks, seed=seed), count)
    return [decode_chunk(encode_chunk(chunk)) for chunk in some]


def played(*, side: int = 20, ticks: int = CHUNK_TICKS, seed: int = 1) -> Iterator[TransitionChunk]:
    """Real chunks without end, as an engine makes them of sixteen games."""
    settings = PlaySettings(
        run="bench", policies=(find_policy("expander"),), width=side, height=side, games=16, seed=seed, tick_limit=1000,
        chunk_ticks=ticks,
    )  # fmt: skip
    pool = GamePool(settings, now_ms=lambda: 0)
    while True:
        for one in pool.advance():
            if one.chunk is not None:
                yield one.chunk


def fast(chunk: TransitionChunk) -> float:
    """The collector's kernels."""
    found = survey(chunk)
    how = RECIPE
    total = float(how.reward.evaluate(gather_facts(chunk, found), how.weights)[0, 0])
    for view in player_views(chunk, found, steps_lived(chunk)):
        moves = legal_moves(view.armies, view.bits, mine=0, mountain=3, width=chunk.width, height=chunk.height)
        total += float(moves[0, 0, 0])
    return total


RECIPE = recipe()


@jit
def naive_view(
    tiles: NDArray[np.uint8],
    armies: NDArray[np.uint16],
    player: int,
    width: int,
    height: int,
    seen: NDArray[np.uint16],
    planes: NDArray[np.bool_],
    mask: NDArray[np.bool_],
) -> None:
    """One board, one player, tile by tile. planes: `[4, HW]`.  mask: `[4, HW]`."""
    for y in range(height):
        for x in range(width):
            i = y * width + x
            visible = False
            for v in range(max(0, y - 1), min(height, y + 2)):
                for u in range(max(0, x - 1), min(width, x + 2)):
                    if (tiles[v * width + u] & 15) == player + 1:
                        visible = True
            owner, kind = (tiles[i] & 15) - 1, tiles[i] >> 4
            own = owner == player
            mountain = kind == 3 or kind == 4
            seen[i] = armies[i] if visible else 0
            planes[0, i] = own
            planes[1, i] = visible and owner >= 0 and not own
            planes[2, i] = visible and kind != 0 and kind != 5 and kind != 8 and not mountain
            planes[3, i] = visible and mountain
            able = own and armies[i] > 1
            mask[0, i] = able and y > 0 and (tiles[max(0, i - width)] >> 4) not in (3, 4)
            mask[1, i] = able and y < height - 1 and (tiles[min(width * height - 1, i + width)] >> 4) not in (3, 4)
            mask[2, i] = able and x > 0 and (tiles[max(0, i - 1)] >> 4) not in (3, 4)
            mask[3, i] = able and x < width - 1 and (tiles[min(width * height - 1, i + 1)] >> 4) not in (3, 4)


@jit
def naive_reward(before: NDArray[np.uint8], after: NDArray[np.uint8], armies: NDArray[np.uint16], player: int) -> float:
    """The reward of one tick but for the game's end."""
    ours, theirs, cities = 0.0, 0.0, 0.0
    for i in range(after.shape[0]):
        old, new, kind = (before[i] & 15) - 1, (after[i] & 15) - 1, after[i] >> 4
        if new == player:
            ours += armies[i]
        elif new >= 0:
            theirs += armies[i]
        if kind in (1, 6, 9) and old != new:
            cities += 0.1 if new == player else (-0.1 if old == player else 0.0)
    return cities + (0.05 * (ours - theirs) / (ours + theirs) if ours + theirs > 0 else 0.0)


def naive(chunk: TransitionChunk) -> float:
    """Every board anew, packed by numpy."""
    tiles, total, count = chunk.tiles, 0.0, chunk.width * chunk.height
    for player, steps in steps_lived(chunk):
        seen = np.empty((steps + 1, count), np.uint16)
        planes = np.empty((steps + 1, 4, count), np.bool_)
        mask = np.empty((steps + 1, 4, count), np.bool_)
        rewards = np.empty(steps, np.float32)
        end = reward_of_end(chunk, player, steps)
        naive_chunk(tiles, chunk.armies, player, chunk.width, chunk.height, end, seen, planes, mask, rewards)
        total += float(np.packbits(planes, axis=-1, bitorder="little")[0, 0, 0])
        total += float(np.packbits(mask, axis=-1, bitorder="little")[0, 0, 0]) + float(rewards[0])
    return total


def reward_of_end(chunk: TransitionChunk, player: int, steps: int) -> float:
    """Of the last tick that the player lived: 1 if it won the game, -1 if it died, 0 if it plays on."""
    if not chunk.alive[steps] >> player & 1:
        return -1.0
    return 1.0 if chunk.outcome is not None and player in chunk.outcome.winners else 0.0


@jit
def naive_chunk(
    tiles: NDArray[np.uint8],
    armies: NDArray[np.uint16],
    player: int,
    width: int,
    height: int,
    end: float,
    seen: NDArray[np.uint16],
    planes: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    rewards: NDArray[np.float32],
) -> None:
    for t in range(seen.shape[0]):
        naive_view(tiles[t], armies[t], player, width, height, seen[t], planes[t], mask[t])
    for t in range(rewards.shape[0]):
        rewards[t] = naive_reward(tiles[t], tiles[t + 1], armies[t + 1], player)
    if end != 0.0:
        rewards[-1] = end


def check(chunk: TransitionChunk) -> None:
    """Both paths give the same, or the comparison means nothing."""
    found = survey(chunk)
    lives = steps_lived(chunk)
    scores = RECIPE.reward.evaluate(gather_facts(chunk, found), RECIPE.weights)
    for (player, steps), view in zip(lives, player_views(chunk, found, lives), strict=True):
        moves = legal_moves(view.armies, view.bits, mine=0, mountain=3, width=chunk.width, height=chunk.height)
        count = chunk.width * chunk.height
        seen = np.empty((steps + 1, count), np.uint16)
        planes, mask = np.empty((steps + 1, 4, count), np.bool_), np.empty((steps + 1, 4, count), np.bool_)
        rewards = np.empty(steps, np.float32)
        end = reward_of_end(chunk, player, steps)
        naive_chunk(chunk.tiles, chunk.armies, player, chunk.width, chunk.height, end, seen, planes, mask, rewards)
        np.testing.assert_array_equal(view.armies, seen)
        np.testing.assert_array_equal(view.bits, np.packbits(planes, axis=-1, bitorder="little"))
        np.testing.assert_array_equal(moves, np.packbits(mask, axis=-1, bitorder="little"))
        np.testing.assert_allclose(scores[:steps, player], rewards, rtol=1e-6, atol=1e-7)


def rate(work: Callable[[TransitionChunk], object], some: list[TransitionChunk], seconds: float) -> float:
    """Experiences a second, each chunk at its best of many rounds: what else the machine does only slows."""
    experiences = sum(steps for chunk in some for _, steps in steps_lived(chunk))
    best, deadline = np.full(len(some), np.inf), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for i, chunk in enumerate(some):
            start = time.perf_counter()
            work(chunk)
            best[i] = min(best[i], time.perf_counter() - start)
    return experiences / float(best.sum())


def report(name: str, value: float, peer: str, peer_value: float) -> None:
    line = {"id": "P3", "name": name, "value": round(value), "unit": "experiences/s/core", "peer": peer}
    print(json.dumps({**line, "peer_value": round(peer_value), "ratio": round(value / peer_value, 2)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring, for each figure")
    parser.add_argument("--chunks", type=int, default=100)
    arguments = parser.parse_args()
    some = [chunk for chunk in chunks(4 * arguments.chunks) if chunk.armies.dtype == np.uint16][-arguments.chunks :]
    for chunk in some[:10]:
        check(chunk)
    records = [RawRecord("bench", 0, 0, 0, b"k", encode_chunk(chunk)) for chunk in some]
    raw = dict(zip(map(id, some), records, strict=True))
    converter = Converter(RECIPE, "bench")

    def convert(chunk: TransitionChunk) -> object:
        return converter(raw[id(chunk)])

    for work in (fast, naive):
        work(some[0])
    peer = "each board anew, tile by tile, numba"
    slow = rate(naive, some, arguments.seconds)
    report("encode + mask + reward", rate(fast, some, arguments.seconds), peer, slow)
    report("bytes to bytes (decode, check, encode, zstd)", rate(convert, some, arguments.seconds), peer, slow)


if __name__ == "__main__":
    main()
