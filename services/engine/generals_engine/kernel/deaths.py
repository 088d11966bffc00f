"""Who lives: deaths, surrenders, the stalemate, and whether one team is left."""

# mypy: disable-error-code="no-any-return"

from generals_engine.kernel.land import NOBODY, make_city, owner_of, set_owner
from generals_engine.kernel.state import (
    ALIVE,
    AREA,
    ARMIES,
    GENERAL,
    PLAYERS,
    SURRENDER,
    SURRENDERS,
    TEAM,
    TICK,
    WINNING_TEAM,
    Bits,
    Game,
)
from generals_schemas.jit import jit_kernel

SURRENDER_TICKS = 50


@jit_kernel
def lives(game: Game, player: int) -> bool:
    return game[ALIVE] >> player & 1 != 0


@jit_kernel
def kill(game: Game, player: int) -> None:
    """The player dies, if it has not yet. The first death that leaves one team alive decides the game."""
    if not lives(game, player):
        return
    game[ALIVE] &= ~(1 << player)
    if game[WINNING_TEAM] < 0:
        game[WINNING_TEAM] = last_team(game)


@jit_kernel
def last_team(game: Game) -> int:
    """The only team with a living player; -1 if there are several or none."""
    found = -1
    for player in range(game[PLAYERS]):
        if lives(game, player):
            if found >= 0 and game[TEAM + player] != found:
                return -1
            found = game[TEAM + player]
    return found


@jit_kernel
def surrender(game: Game, player: int) -> None:
    """The player dies, and its land has 50 ticks left. The land of the dead is not theirs to give."""
    if lives(game, player):
        kill(game, player)
        game[SURRENDER + player] = game[TICK] + SURRENDER_TICKS
        game[SURRENDERS] = 1


@jit_kernel
def give_away_due(game: Game, bits: Bits) -> None:
    """The land of those who surrendered 50 ticks ago, if their general was not captured meanwhile."""
    for player in range(game[PLAYERS]):
        general = game[GENERAL + player]
        if game[SURRENDER + player] != game[TICK] or general < 0:
            continue
        heir = _heir(game, player)
        for tile in range(game[AREA]):
            if owner_of(game, tile) == player:
                set_owner(game, bits, tile, heir, game[ARMIES + tile])
        make_city(game, general)
        game[GENERAL + player] = -1


@jit_kernel
def _heir(game: Game, player: int) -> int:
    """The living team mate with the lowest index, else nobody."""
    for mate in range(game[PLAYERS]):
        if lives(game, mate) and game[TEAM + mate] == game[TEAM + player]:
            return mate
    return NOBODY


@jit_kernel
def kill_all_but_strongest(game: Game) -> None:
    """By army, then land, then index. The order of deaths shows nowhere: the strongest's team is left in any order."""
    strongest, most_army, most_land = -1, -1, -1
    for player in range(game[PLAYERS]):
        if not lives(game, player):
            continue
        army, land = _strength(game, player)
        if army > most_army or (army == most_army and land >= most_land):
            strongest, most_army, most_land = player, army, land
    for player in range(game[PLAYERS]):
        if player != strongest:
            kill(game, player)


@jit_kernel
def _strength(game: Game, player: int) -> tuple[int, int]:
    """A player's army and land."""
    army = land = 0
    for tile in range(game[AREA]):
        if owner_of(game, tile) == player:
            army += game[ARMIES + tile]
            land += 1
    return army, land
