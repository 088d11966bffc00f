"""What a player sees, what it has seen, where the game stands: the 21 channels that an agent learnt fastest from.

Needs chunks with memory (the engine's `memory` setting), for what was seen before the chunk began.
"""

from generals_schemas.encodings.declaration import BASE_PLANES, Channel, Encoding
from generals_schemas.encodings.nine_planes import CHANNELS

ENCODING = Encoding(
    "memory",
    channels=(
        *CHANNELS,
        Channel("log_own_armies", "log_army", "own", "log armies on the team's tiles"),
        Channel("log_enemy_armies", "log_army", "enemy", "log armies on the tiles of others"),
        Channel("log_neutral_armies", "log_army", "neutral", "log armies on visible tiles of nobody"),
        Channel("explored", "plane", "explored", "tiles that the team has seen at some time"),
        Channel("enemy_generals", "plane", "enemy_general", "where a general of others was when last seen"),
        Channel("own_generals", "plane", "own_general", "the player's own generals"),
        Channel("ready", "plane", "ready", "the player's own tiles with army above 1"),
        Channel("turn_phase", "scalar", "turn_phase", "(tick mod 50) / 50: how far to the growth of all land"),
        Channel("tick", "scalar", "tick", "tick / tick_scale, at most 1"),
        Channel("log_own_total", "scalar", "log_own_total", "log(1 + team's army) / log(1 + total_scale), at most 1"),
        Channel("log_others_total", "scalar", "log_others_total", "the same of all other teams, from the scoreboard"),
        Channel("land_difference", "scalar", "land_difference", "(team's land - others') / (sum of both)"),
    ),
    planes=(*BASE_PLANES, "explored", "enemy_general", "own_general", "ready"),
    scalars=("turn_phase", "tick", "log_own_total", "log_others_total", "land_difference"),
    params={"army_scale": 1000.0, "tick_scale": 1000.0, "total_scale": 10_000.0},
    needs_memory=True,
)
