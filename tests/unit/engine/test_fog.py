"""What a player sees, on drawn boards (see `generals_engine.drawing`)."""

import numpy as np
import pytest
from numpy.typing import NDArray

from generals_engine import fog, rules
from generals_engine.drawing import draw
from generals_engine.moves import Move
from generals_engine.rules import GameState
from generals_schemas import tiles


def marks(state: GameState, mask: NDArray[np.bool_]) -> list[str]:
    """`[HW]` flags as rows of `x` and `.`."""
    return ["".join("x" if flag else "." for flag in row) for row in mask.reshape(state.height, state.width)]


def test_a_player_sees_three_by_three_around_each_tile() -> None:
    state = draw("""
        .  . . . . .
        . A1 . . . .
        .  . . . . .
        .  . . . . .
        B1 . . . . a1
    """)
    assert marks(state, fog.visible_to(state, 0)) == [
        "xxx...",
        "xxx...",
        "xxx...",
        "....xx",
        "....xx",
    ]


def test_sight_does_not_reach_around_the_edge_of_the_board() -> None:
    state = draw("""
        .  . . . a1
        .  . . . .
        A1 . B1 . .
    """)
    assert marks(state, fog.visible_to(state, 0)) == [
        "...xx",
        "xx.xx",
        "xx...",
    ]


def test_team_mates_share_sight() -> None:
    state = draw("A1 . . . . B1 . . C1", teams=[1, 2, 1])
    assert marks(state, fog.visible_to(state, 0)) == ["xx.....xx"]
    assert marks(state, fog.visible_to(state, 2)) == ["xx.....xx"]
    assert marks(state, fog.visible_to(state, 1)) == ["....xxx.."]


def test_a_team_mate_who_surrendered_still_lends_sight_until_the_land_is_gone() -> None:
    state = draw("A1 . . . . B1 . . C1 . . D1", teams=[1, 2, 1, 3])
    state, _ = rules.step(state, [], [2])
    assert marks(state, fog.visible_to(state, 0)) == ["xx.....xxx.."]


def test_a_players_sight_goes_with_the_land() -> None:
    state = draw("A1 a5 B1 b1 . . C1")
    state, _ = rules.step(state, [Move(0, 1, 2, False)])
    assert marks(state, fog.visible_to(state, 0)) == ["xxxxx.."]
    assert marks(state, fog.visible_to(state, 1)) == ["......."]


def test_mountains_obstacles_and_cities_in_the_fog_are_not_told_apart() -> None:
    state = draw("A1 . . # ^ $40 b$9 ~$3 :b$2 . B1 ~ b7")
    seen = fog.view(state, 0)
    assert marks(state, seen.visible) == ["xx..........."]
    assert marks(state, seen.obstacles) == ["...xxxxxx...."]


def test_a_general_in_the_fog_looks_like_open_land_until_it_is_captured() -> None:
    state = draw("A1 . . C1 b5 . B1")
    assert marks(state, fog.view(state, 0).obstacles) == ["......."]
    state, _ = rules.step(state, [Move(1, 4, 3, False)])
    assert marks(state, fog.view(state, 0).obstacles) == ["...x..."]


def test_structures_that_are_seen_are_seen_as_they_are() -> None:
    state = draw("""
        #  $40 B7
        ^  A1  b$9
    """)
    seen = fog.view(state, 0)
    assert seen.visible.all()
    assert not seen.obstacles.any()
    assert seen.tiles.tolist() == state.tiles.tolist()
    assert seen.armies.tolist() == [0, 40, 7, 0, 1, 9]


def test_nothing_is_known_of_a_tile_in_the_fog() -> None:
    state = draw("A1 . b7 B3 $40")
    seen = fog.view(state, 0)
    assert seen.tiles[2:].tolist() == [tiles.UNSEEN] * 3
    assert seen.armies.tolist() == [1, 0, 0, 0, 0]


def test_the_scoreboard_is_always_seen() -> None:
    state = draw("A4 . . b7 B3 c5 .9", teams=[1, 2, 2])
    seen = fog.view(state, 0)
    assert seen.army.tolist() == [4, 10, 5]
    assert seen.land.tolist() == [1, 2, 1]
    assert seen.alive == (True, True, False)


@pytest.mark.parametrize("seed", range(20))
def test_sight_is_what_a_search_tile_by_tile_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    width, height, players = int(random.integers(1, 65)), int(random.integers(1, 20)), int(random.integers(2, 6))
    owners = np.where(random.random(width * height) < 0.03, random.integers(0, players, width * height), -1)
    board = (owners + 1).astype(np.uint8)
    state = rules.start(
        board,
        np.zeros(board.size, np.int32),
        width=width,
        height=height,
        teams=random.integers(0, 3, players).tolist(),
    )
    for player in range(players):
        team = [mate for mate in range(players) if state.teams[mate] == state.teams[player]]
        expected = [
            any(
                owners[v * width + u] in team
                for v in range(max(0, y - 1), min(height, y + 2))
                for u in range(max(0, x - 1), min(width, x + 2))
            )
            for y in range(height)
            for x in range(width)
        ]
        assert fog.visible_to(state, player).tolist() == expected, f"seed {seed}"
