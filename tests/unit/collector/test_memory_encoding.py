"""The encoding that remembers: its planes and scalars against the plain reference."""

import math
from dataclasses import replace

import numpy as np
import pytest
from experience_agreement import unpack
from experience_reference import board, remembered
from numpy.random import default_rng
from numpy.typing import NDArray
from random_chunks import random_chunk

from generals_client.expand import expand
from generals_collector.tensorise import experiences, recipe
from generals_schemas.encodings import BASE_PLANES, Channel, Encoding, get_encoding
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch, Memory, Source, TransitionChunk

SOURCE = Source("t", "id", 0, 0, 0, 1)
HOW = recipe(encoding="memory", encoding_params={"tick_scale": 3000.0})


def tiles_of(batch: ExperienceBatch, plane: str, n: int) -> set[int]:
    return set(np.flatnonzero(unpack(batch)[plane][n]).tolist())


@pytest.mark.parametrize("case", range(8))
def test_planes_and_scalars_agree_with_the_reference(case: int, seed: int) -> None:
    rng = default_rng([seed, case])
    chunk = random_chunk(
        rng, memory=True, ticks=6, change=0.1, sides=(int(rng.integers(2, 22)), int(rng.integers(2, 22)))
    )
    for batch in experiences(chunk, SOURCE, HOW):
        seen, generals = remembered(chunk, batch.player)
        for n in range(batch.steps + 1):
            at = board(chunk, n)
            mine = {i for i, owner in enumerate(at.owners) if owner == batch.player}
            assert tiles_of(batch, "explored", n) == seen[n]
            assert tiles_of(batch, "enemy_general", n) == generals[n]
            assert tiles_of(batch, "own_general", n) == {i for i in mine if at.kinds[i] in (2, 7, 10)}
            assert tiles_of(batch, "ready", n) == {i for i in mine if at.armies[i] > 1}
            np.testing.assert_allclose(batch.scalars[n], scalars(chunk, batch.player, n), atol=1e-6)


def scalars(chunk: TransitionChunk, player: int, n: int) -> list[float]:
    at = board(chunk, n)
    sides = [[0, 0], [0, 0]]  # army and land of the team, of the others
    for owner, army in zip(at.owners, at.armies, strict=True):
        if owner >= 0:
            side = sides[chunk.teams[owner] != chunk.teams[player]]
            side[0] += army
            side[1] += 1
    (army, land), (others_army, others_land) = sides
    tick = chunk.first_tick + n
    logs = [min(1.0, math.log1p(total) / math.log1p(10_000)) for total in (army, others_army)]
    return [tick % 50 / 50, min(1.0, tick / 3000), *logs, (land - others_land) / max(1, land + others_land)]


def test_a_game_cut_into_chunks_remembers_as_one_that_is_not(seed: int) -> None:
    rng = default_rng(seed)
    whole = replace(random_chunk(rng, ticks=12, change=0.1, sides=(14, 11), players=3), first_tick=0, outcome=None)
    whole = replace(whole, alive=np.full(13, 7, np.uint16), actions=np.zeros((12, 3), np.int32))
    first = replace(
        whole, tiles=whole.tiles[:6], armies=whole.armies[:6], alive=whole.alive[:6], actions=whole.actions[:5]
    )
    known = [last_seen(whole, player, 5) for player in range(3)]
    second = replace(
        whole, chunk=whole.chunk + 1, first_tick=5, tiles=whole.tiles[5:], armies=whole.armies[5:],
        alive=whole.alive[5:], actions=whole.actions[5:],
        memory=Memory(np.stack(known), np.zeros((3, whole.tiles.shape[1]), np.uint16)),
    )  # fmt: skip
    parts = zip(*(experiences(chunk, SOURCE, HOW) for chunk in (whole, first, second)), strict=True)
    for one, begin, end in parts:
        np.testing.assert_array_equal(one.bits, np.concatenate([begin.bits, end.bits[1:]]))
        np.testing.assert_array_equal(one.scalars, np.concatenate([begin.scalars, end.scalars[1:]]))


def last_seen(chunk: TransitionChunk, player: int, boards: int) -> NDArray[np.uint8]:
    """`[HW]`: what the player saw last on the first `boards` boards, 255 where nothing."""
    found = np.full(chunk.tiles.shape[1], 255, np.uint8)
    for batch in experiences(chunk, SOURCE, recipe()):
        if batch.player == player:
            for n in range(boards):
                for i in tiles_of(batch, "visible", n):
                    found[i] = chunk.tiles[n, i]
    return found


def test_the_client_makes_its_channels_of_it(seed: int) -> None:
    chunk = random_chunk(default_rng(seed), memory=True, ticks=3, sides=(7, 9))
    encoding = get_encoding("memory")
    for batch in experiences(chunk, SOURCE, HOW):
        state = expand(
            encoding, armies=batch.armies, bits=batch.bits, scalars=batch.scalars, rows=np.arange(batch.steps + 1),
            width=7, height=9, params=HOW.encoding_params, planes=batch.planes,
        )  # fmt: skip
        assert state.shape == (batch.steps + 1, 21, 9, 7)
        assert np.isfinite(state).all()
        names = [channel.name for channel in encoding.channels]
        assert set(np.flatnonzero(state[0, names.index("explored")]).tolist()) == tiles_of(batch, "explored", 0)


def test_a_chunk_without_memory_is_rejected_where_it_would_be_missed(seed: int) -> None:
    chunk = random_chunk(default_rng(seed))
    experiences(replace(chunk, first_tick=0), SOURCE, HOW)
    with pytest.raises(BadRecord, match=r"set engine\.memory to true") as caught:
        experiences(replace(chunk, first_tick=64), SOURCE, HOW)
    assert caught.value.reason == "no_memory"


def test_an_encoding_that_stores_what_nothing_makes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = Encoding("strange", (Channel("x", "plane", "smell", "?"),), planes=(*BASE_PLANES, "smell"))
    monkeypatch.setattr("generals_collector.tensorise.get_encoding", lambda _: strange)
    with pytest.raises(ValueError, match="nothing makes plane 'smell'; there are explored, enemy_general"):
        recipe(encoding="strange")
