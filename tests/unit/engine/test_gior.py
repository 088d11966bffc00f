"""The site's own recordings. The three in `data/gior` are people's games without their names, compressed by another
implementation of LZString than ours; their twins in `data/replays` say what must come out."""

import json
from pathlib import Path
from typing import Any

import pytest

from generals_engine import gior, lzstring, recorded
from generals_engine.game_fields import MalformedGame

DATA = Path(__file__).parents[2] / "data"
GIORS = sorted((DATA / "gior").glob("*.gior"))

VERSION, WIDTH, TEAMS, NEUTRALS, ARMIES, SWAMPS, MODIFIERS, OBSERVATORIES, LOOKOUTS, DESERTS, TUNNELS, STRONGHOLDS = (
    0, 2, 12, 14, 15, 16, 21, 22, 23, 24, 28, 34,
)  # fmt: skip


@pytest.fixture
def site_fields(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The fields of a version 18 recording of a small game, as the site orders them; `parse_gior` reads these."""
    values: list[Any] = [None] * 37
    values[:13] = [18, "abc", 4, 2, ["one", "two"], [1, 2], [1], [40], [0, 3], [5], [[0, 0, 4, 0, 4]], [[1, 9]], None]
    monkeypatch.setattr(gior, "decompress", lambda data: json.dumps(values))
    return values


@pytest.mark.parametrize("path", GIORS, ids=lambda path: path.stem)
def test_a_site_recording_is_the_same_game_as_its_json(path: Path) -> None:
    game = gior.load_gior(path)
    twin = recorded.load(DATA / "replays" / f"{path.stem}.json")
    assert game.moves == twin.moves
    assert game.surrenders == twin.surrenders
    assert recorded.replay(game).to_json() == twin.expected


def test_the_recordings_span_the_versions() -> None:
    assert [gior.load_gior(path).rules_version for path in GIORS] == [5, 15, 16]


def test_the_sites_fields_are_found_by_position(site_fields: list[Any]) -> None:
    site_fields[NEUTRALS], site_fields[ARMIES] = [2, 6], [7, 8]
    site_fields[SWAMPS], site_fields[DESERTS] = [4], [7]
    site_fields[TEAMS] = [3, 5]
    game = gior.parse_gior(b"")
    assert (game.name, game.rules_version, game.width, game.height, game.players) == ("abc", 18, 4, 2, 2)
    assert (game.cities, game.generals, game.mountains) == (((1, 40),), (0, 3), (5,))
    assert (game.neutral_armies, game.swamps, game.deserts) == (((2, 7), (6, 8)), (4,), (7,))
    assert (game.teams, game.surrenders) == ((3, 5), ((1, 9),))
    assert recorded.replay(game).winners == (0,)


def test_lookouts_and_observatories_are_obstacles(site_fields: list[Any]) -> None:
    site_fields[OBSERVATORIES], site_fields[LOOKOUTS] = [6], [7]
    assert gior.parse_gior(b"").obstacles == (6, 7)


def test_a_player_without_a_general_never_joined(site_fields: list[Any]) -> None:
    site_fields[8] = [0, 3, None]
    assert gior.parse_gior(b"").generals == (0, 3, None)


@pytest.mark.parametrize(
    ("position", "value", "field"),
    [(MODIFIERS, [2], "modifiers"), (TUNNELS, [4], "tunnels"), (STRONGHOLDS, [4], "strongholds")],
)
def test_a_game_by_other_rules_is_refused_by_name(
    site_fields: list[Any], position: int, value: object, field: str
) -> None:
    site_fields[position] = value
    with pytest.raises(MalformedGame, match="only games without modifiers") as caught:
        gior.parse_gior(b"")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("position", "value", "field"),
    [
        (VERSION, 4, "rules_version"),
        (WIDTH, None, "width"),
        (7, [40, 41], "cityArmies"),
        (6, 3, "cities"),
        (8, None, "players"),
        (10, [[0, 0, 99, 0, 1]], "moves[0][2]"),
        (11, [[2, 5]], "surrenders[0][0]"),
    ],
)
def test_a_field_that_cannot_be_played_is_named(
    site_fields: list[Any], position: int, value: object, field: str
) -> None:
    site_fields[position] = value
    with pytest.raises(MalformedGame) as caught:
        gior.parse_gior(b"")
    assert caught.value.field == field


# Made by the LZString package of PyPI.
@pytest.mark.parametrize(
    ("text", "compressed"),
    [
        ("", "4000"),
        ("a", "2190"),
        ("aaaa", "218e4000"),
        ("ababababab", "218235ec4800"),
        ("hello ✓ world ✓✓", "0585303660f60048c8e4d0774809cc0133ac8000"),
        ('[18,"x",2]', "3684601c03404401e5102602e900"),
    ],
)
def test_text_is_decompressed(text: str, compressed: str) -> None:
    assert lzstring.decompress(bytes.fromhex(compressed)) == text


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 40, bytes.fromhex("0585303660"), b'{"width": 3}'])
def test_bytes_that_are_no_recording_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedGame, match=r"is no \.gior") as caught:
        gior.parse_gior(data)
    assert caught.value.field == "file"


def test_a_recording_cut_off_is_refused() -> None:
    data = GIORS[0].read_bytes()
    with pytest.raises(MalformedGame, match="ends in the middle"):
        gior.parse_gior(data[: len(data) // 2])


def test_a_text_that_never_stops_growing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lzstring, "MOST_CHARACTERS", 1_000)
    with pytest.raises(MalformedGame, match="more than 1000 characters"):
        gior.load_gior(GIORS[0])
