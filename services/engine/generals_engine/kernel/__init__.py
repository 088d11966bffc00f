"""The batched kernel: the rules compiled, many games side by side, no Python in the tick.

The readable form of the same rules is `generals_engine.rules`; a property test plays both tick by tick.
"""

from generals_engine.kernel.state import Bits, Game, State, allocate

__all__ = ["Bits", "Game", "State", "allocate"]
