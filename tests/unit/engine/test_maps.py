"""Generated maps keep the site's rules; fixed maps are read or refused by name."""

import json
from collections import deque
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from generals_engine.map_files import load_map
from generals_engine.maps import GameMap, MapError, generate_map, rule_side, rule_spacing
from generals_schemas import tiles as codes

MAPS = 150


def distances(board: GameMap, start: int, *, through_cities: bool) -> dict[int, int]:
    """Steps from a tile to all that can be reached; the readable double of the generator's own walk."""
    closed = {codes.MOUNTAIN} if through_cities else {codes.MOUNTAIN, codes.CITY}
    steps, queue = {start: 0}, deque([start])
    while queue:
        tile = queue.popleft()
        y, x = divmod(tile, board.width)
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            other = v * board.width + u
            if not (0 <= v < board.height and 0 <= u < board.width) or other in steps:
                continue
            if int(board.tiles[other]) >> codes.KIND_SHIFT not in closed:
                steps[other] = steps[tile] + 1
                queue.append(other)
    return steps


def apart(board: GameMap) -> int:
    """The least Manhattan distance between two generals."""
    places = [divmod(int(tile), board.width) for tile in board.generals]
    return min(abs(a - c) + abs(b - d) for (a, b), (c, d) in combinations(places, 2))


def kinds(board: GameMap) -> np.ndarray:
    return board.tiles >> codes.KIND_SHIFT


@pytest.mark.parametrize("players", range(2, 13))
def test_maps_of_the_sites_own_size_keep_every_rule(players: int, seed: int) -> None:
    for number in range(MAPS // 10):
        board = generate_map(seed + number, players=players)
        area = board.width * board.height
        least, most = rule_side(players, 0.0), rule_side(players, 1.0)
        assert least <= board.width <= most
        assert least <= board.height <= most
        assert 0.195 <= np.mean(kinds(board) == codes.MOUNTAIN) <= 0.285
        cities = np.flatnonzero(kinds(board) == codes.CITY)
        assert round(5 + players * 2) <= len(cities) <= round(5 + players * 3)
        assert board.armies[cities].min() >= 40
        assert board.armies[cities].max() <= 50
        assert apart(board) >= rule_spacing(players, players)
        open_paths = distances(board, int(board.generals[0]), through_cities=False)
        assert all(int(general) in open_paths for general in board.generals), "a general is walled in by cities"
        for player, general in enumerate(board.generals):
            assert board.tiles[general] == codes.tile(codes.GENERAL, player)
            assert board.armies[general] == 1
            steps = distances(board, int(general), through_cities=True)
            assert min(steps.get(int(city), area) for city in cities) <= 6
        assert board.armies[kinds(board) == codes.PLAIN].sum() == 0


def test_sides_mountains_and_cities_are_spread_over_their_whole_range() -> None:
    boards = [generate_map(seed, players=2) for seed in range(MAPS)]
    sides = [side for board in boards for side in (board.width, board.height)]
    assert set(sides) == set(range(18, 24))
    # U² · 5 rounded: a side of 18 comes from U² < 0.1, so in 31.6% of the draws.
    assert np.mean(np.array(sides) == 18) == pytest.approx(0.316, abs=0.09)
    mountains = [np.mean(kinds(board) == codes.MOUNTAIN) for board in boards]
    assert np.mean(mountains) == pytest.approx(0.24, abs=0.006)
    cities = [np.sum(kinds(board) == codes.CITY) for board in boards]
    assert np.mean(cities) == pytest.approx(10.0, abs=0.25)
    armies = np.concatenate([board.armies[kinds(board) == codes.CITY] for board in boards])
    assert armies.mean() == pytest.approx(45.0, abs=0.4)
    assert set(armies.tolist()) == set(range(40, 51))


def test_generals_of_duels_stand_in_all_quarters_of_the_board() -> None:
    quarters = np.zeros((2, 2), int)
    for seed in range(MAPS):
        board = generate_map(seed, players=2, width=20, height=20)
        for general in board.generals:
            quarters[general // 20 // 10, general % 20 // 10] += 1
    assert quarters.min() > MAPS * 2 * 0.17


@pytest.mark.parametrize(("players", "spacing"), [(2, 15), (3, 14), (4, 13), (8, 9), (12, 9)])
def test_the_spacing_rule_is_the_sites(players: int, spacing: int) -> None:
    assert rule_spacing(players, players) == spacing


def test_two_teams_keep_the_distance_of_few_teams_where_it_fits_and_never_less_than_nine() -> None:
    for seed in range(30):
        assert apart(generate_map(seed, players=4, teams=2)) >= 9
        assert apart(generate_map(seed, players=8, teams=2)) >= 9
    assert any(apart(generate_map(seed, players=4, teams=2)) >= rule_spacing(4, 2) for seed in range(5))


def test_the_same_seed_is_the_same_map_and_another_seed_another() -> None:
    one, same, other = (generate_map(seed, players=3) for seed in (7, 7, 8))
    assert one.tiles.tobytes() == same.tiles.tobytes()
    assert one.armies.tobytes() == same.armies.tobytes()
    assert one.tiles.tobytes() != other.tiles.tobytes()


@pytest.mark.parametrize(("width", "height"), [(8, 8), (6, 6), (12, 9), (64, 64), (20, 20)])
def test_a_users_size_is_kept_and_everything_else_gives_way(width: int, height: int) -> None:
    for seed in range(20):
        board = generate_map(seed, players=2, width=width, height=height)
        assert (board.width, board.height) == (width, height)
        assert apart(board) >= min(15, (width + height) // 2) - 4
        assert int(board.generals[1]) in distances(board, int(board.generals[0]), through_cities=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"players": 12, "width": 3, "height": 3}, "12 players and .* no place on a board of 3 x 3"),
        ({"players": 13}, "13 players"),
        ({"players": 1}, "1 players"),
        ({"players": 2, "width": 65, "height": 20}, "width 65 is outside 1 … 64"),
        ({"players": 2, "width": 20, "height": 0}, "height 0 is outside"),
    ],
)
def test_impossible_maps_are_refused_with_what_is_wrong(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(MapError, match=message):
        generate_map(1, **arguments)


def write(folder: Path, **fields: object) -> Path:
    path = folder / "map.json"
    path.write_text(json.dumps({"width": 4, "height": 3, "generals": [0, 11], **fields}))
    return path


def test_a_fixed_map_is_read_with_its_grounds_cities_and_armies(tmp_path: Path) -> None:
    """
    0 ~ ^ .      A general, swamp, mountain, plain
    . c d .      city 40 on plain, desert with a city of 9
    . . 3 1      neutral army 3, B's general
    """
    path = write(tmp_path, mountains=[2], swamps=[1], deserts=[6], cities=[[5, 40], [6, 9]], neutral_armies=[[10, 3]])
    board = load_map(path)
    assert (board.width, board.height, board.players) == (4, 3, 2)
    assert board.tiles.tolist() == [
        codes.tile(codes.GENERAL, 0), codes.tile(codes.SWAMP), codes.tile(codes.MOUNTAIN), 0,
        0, codes.tile(codes.CITY), codes.tile(codes.DESERT_CITY), 0,
        0, 0, 0, codes.tile(codes.GENERAL, 1),
    ]  # fmt: skip
    assert board.armies.tolist() == [1, 0, 0, 0, 0, 40, 9, 0, 0, 0, 3, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 65}, "width is 65"),
        ({"generals": [0]}, "generals holds 1 tiles"),
        ({"generals": [0, 12]}, r"generals holds 12, must be a tile index, 0 … 11"),
        ({"mountains": [0]}, "generals holds tile 0, which is already mountain"),
        ({"cities": [[3]]}, "cities must be a list of"),
        ({"cities": [[3, -1]]}, "cities gives tile 3 the army -1"),
        ({"swamps": [1], "deserts": [1]}, "deserts holds tile 1, which is already swamp"),
    ],
)
def test_a_bad_map_file_is_refused_with_its_name_and_field(
    tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(MapError, match=f"map .*map.json: {message}"):
        load_map(write(tmp_path, **fields))


def test_a_file_that_is_no_json_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text("{")
    with pytest.raises(MapError, match=r"map\.json: cannot be read as JSON"):
        load_map(path)
