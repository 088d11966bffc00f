"""Reads the fields of a recorded game's JSON, and names what is wrong with one that cannot be played."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from generals_engine.rules import NEWEST_RULES, OLDEST_RULES
from generals_schemas.actions import MAX_PLAYERS, MAX_SIDE

Pair: TypeAlias = tuple[int, int]

ANY = 2**31 - 1
"""Bounds numbers that are checked, or not used, elsewhere."""
MOST_UNITS = 10_000_000
"""Of one tile at the start: so few that sums of them fit four bytes."""


class MalformedGame(ValueError):
    """A recorded game that cannot be played. `field` is where, as in `moves[17][2]`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class Fields:
    """The fields of one recorded game. Each method returns one of them, checked, or raises `MalformedGame`."""

    def __init__(self, record: Mapping[str, object]) -> None:
        self._record = record
        self.width = self._number(self._required("width"), "width", 1, MAX_SIDE)
        self.height = self._number(self._required("height"), "height", 1, MAX_SIDE)
        self.players = self._number(self._required("players"), "players", 2, MAX_PLAYERS)
        self._refuse_modifiers()
        self._used: dict[int, str] = {}

    @classmethod
    def of(cls, record: object) -> "Fields":
        """The fields of what was decoded from JSON."""
        if not isinstance(record, Mapping):
            raise MalformedGame("file", f"holds {_name(record)}; a recorded game is an object")
        return cls(record)

    def text(self, field: str) -> str:
        value = self._record.get(field, "")
        if not isinstance(value, str):
            raise MalformedGame(field, f"is {_name(value)}; text was expected")
        return value

    def rules_version(self) -> int:
        return self._number(self._required("rules_version"), "rules_version", OLDEST_RULES, NEWEST_RULES)

    def teams(self) -> tuple[int, ...] | None:
        """One number a player, or None for a free-for-all."""
        if self._record.get("teams") is None:
            return None
        teams = self._list("teams")
        self._one_a_player("teams", teams)
        return tuple(self._number(team, f"teams[{index}]", -ANY, ANY) for index, team in enumerate(teams))

    def terrain(self, field: str, *, optional: bool = False) -> tuple[int, ...]:
        """Tiles of a kind. No tile may be of two kinds."""
        places = tuple(
            self._tile(value, f"{field}[{index}]") for index, value in enumerate(self._list(field, optional=optional))
        )
        for index, tile in enumerate(places):
            other = self._used.setdefault(tile, field)
            if other != field:
                raise MalformedGame(f"{field}[{index}]", f"is tile {tile}, which is among the {other}, too")
        return places

    def armies(self, field: str, *, optional: bool = False) -> tuple[Pair, ...]:
        """(tile, army) pairs, a tile once. None may stand on a mountain or an obstacle."""
        pairs: dict[int, int] = {}
        for index, value in enumerate(self._list(field, optional=optional)):
            name = f"{field}[{index}]"
            tile, army = self._tuple(value, name, "[tile, army]", 2)
            place = self._open(tile, f"{name}[0]")
            if place in pairs:
                raise MalformedGame(f"{name}[0]", f"is tile {place}, which {field} has already")
            pairs[place] = self._number(army, f"{name}[1]", -MOST_UNITS, MOST_UNITS)
        return tuple(pairs.items())

    def generals(self) -> tuple[int | None, ...]:
        """One tile a player; null for one who never joined."""
        values = self._list("generals")
        self._one_a_player("generals", values)
        generals = [
            None if value is None else self._open(value, f"generals[{index}]") for index, value in enumerate(values)
        ]
        cities = {tile for tile, _ in self.armies("cities")}
        taken = cities | {tile for tile, _ in self.armies("neutral_armies", optional=True)}
        for index, tile in enumerate(generals):
            if tile is None:
                continue
            if tile in taken:
                raise MalformedGame(f"generals[{index}]", f"is tile {tile}, where another general, city or army stands")
            taken.add(tile)
        return tuple(generals)

    def moves(self) -> Iterator[tuple[tuple[int, int, int, bool], int]]:
        """((player, from, to, split), tick) of each move, in the order of the file."""
        for index, value in enumerate(self._list("moves")):
            name = f"moves[{index}]"
            player, source, target, split, tick = self._tuple(value, name, "[player, from, to, split, tick]", 5)
            move = (
                self._player(player, f"{name}[0]"),
                self._tile(source, f"{name}[1]"),
                self._tile(target, f"{name}[2]"),
                bool(self._flag(split, f"{name}[3]")),
            )
            yield move, self._tick(tick, f"{name}[4]")

    def surrenders(self) -> tuple[Pair, ...]:
        """(player, tick) of each surrender event, in the order of the file."""
        pairs = []
        for index, value in enumerate(self._list("surrenders", optional=True)):
            name = f"surrenders[{index}]"
            player, tick = self._tuple(value, name, "[player, tick]", 2)
            pairs.append((self._player(player, f"{name}[0]"), self._tick(tick, f"{name}[1]")))
        return tuple(pairs)

    def ticks(self) -> int | None:
        value = self._record.get("ticks")
        return None if value is None else self._tick(value, "ticks")

    def expected(self) -> Mapping[str, object] | None:
        value = self._record.get("expected")
        if value is not None and not isinstance(value, Mapping):
            raise MalformedGame("expected", f"is {_name(value)}; an object was expected")
        return value

    def _refuse_modifiers(self) -> None:
        modifiers = self._list("modifiers", optional=True)
        if modifiers:
            raise MalformedGame("modifiers", f"are {modifiers}; only games without modifiers can be played")

    def _required(self, field: str) -> object:
        if field not in self._record:
            raise MalformedGame(field, "is missing")
        return self._record[field]

    def _list(self, field: str, *, optional: bool = False) -> list[Any]:
        value = self._record.get(field) if optional else self._required(field)
        if value is None and optional:
            return []
        if not isinstance(value, list):
            raise MalformedGame(field, f"is {_name(value)}; a list was expected")
        return value

    def _tuple(self, value: object, field: str, shape: str, length: int) -> list[Any]:
        if not isinstance(value, list) or len(value) != length:
            raise MalformedGame(field, f"is {_name(value)}; {shape} was expected")
        return value

    def _one_a_player(self, field: str, values: list[Any]) -> None:
        if len(values) != self.players:
            raise MalformedGame(field, f"has {len(values)} entries for {self.players} players")

    def _number(self, value: object, field: str, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise MalformedGame(field, f"is {_name(value)}; a whole number was expected")
        if not least <= value <= most:
            raise MalformedGame(field, f"is {value}; {least} to {most} was expected")
        return value

    def _flag(self, value: object, field: str) -> int:
        return value if isinstance(value, bool) else self._number(value, field, 0, 1)

    def _tile(self, value: object, field: str) -> int:
        tile = self._number(value, field, -ANY, ANY)
        if not 0 <= tile < self.width * self.height:
            raise MalformedGame(field, f"is tile {tile}, off a board of {self.width} x {self.height}")
        return tile

    def _open(self, value: object, field: str) -> int:
        """A tile on which something may stand. The terrain has been read before."""
        tile = self._tile(value, field)
        if self._used.get(tile) in ("mountains", "obstacles"):
            raise MalformedGame(field, f"is tile {tile}, which is among the {self._used[tile]}, too")
        return tile

    def _player(self, value: object, field: str) -> int:
        player = self._number(value, field, -ANY, ANY)
        if not 0 <= player < self.players:
            raise MalformedGame(field, f"is player {player}; there are {self.players}, counted from 0")
        return player

    def _tick(self, value: object, field: str) -> int:
        return self._number(value, field, 0, ANY)


def _name(value: object) -> str:
    """A short description of a JSON value, for messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
