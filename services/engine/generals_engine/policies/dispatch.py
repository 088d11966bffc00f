"""From a policy's number to its move."""

# mypy: disable-error-code="no-any-return"

from generals_engine.kernel.state import POLICY, Bits, Game
from generals_engine.policies.codes import EXPANDER, HARVESTER, HUNTER, STRATEGIST
from generals_engine.policies.expander import expander
from generals_engine.policies.hunter import harvester, hunter, strategist
from generals_engine.policies.random_legal import random_legal
from generals_schemas.jit import jit_kernel


@jit_kernel
def choose(game: Game, bits: Bits, player: int) -> int:
    """The flat action of a living player whose policy runs in the kernel."""
    policy = game[POLICY + player]
    if policy == EXPANDER:
        return expander(game, bits, player)
    if policy == HUNTER:
        return hunter(game, bits, player)
    if policy == HARVESTER:
        return harvester(game, bits, player)
    if policy == STRATEGIST:
        return strategist(game, bits, player)
    return random_legal(game, bits, player)
