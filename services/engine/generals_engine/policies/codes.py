"""Numbers of the policies that run inside the kernel; frozen into compiled code (see `generals_schemas.jit`)."""

EXTERNAL = -1
"""Actions come from outside: the game advances tick by tick."""

RANDOM = 0
EXPANDER = 1
HUNTER = 2
HARVESTER = 3
STRATEGIST = 4
