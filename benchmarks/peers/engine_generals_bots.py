"""generals-bots (numpy): the game core with its own random and expander agents, two players on 20 x 20.

Games are started anew when they end. Nothing is recorded or encoded. Printed: ticks a second of this one process.
"""

import json
import sys
import time

from generals.agents import ExpanderAgent, RandomAgent
from generals.core.game import Game
from generals.core.grid import GridFactory

AGENTS = {"random": RandomAgent, "expander": ExpanderAgent}
TICK_LIMIT = 2000


def main(policy: str, seconds: float) -> None:
    names = ["A", "B"]
    factory = GridFactory(min_grid_dims=(20, 20), max_grid_dims=(20, 20))
    agents = {name: AGENTS[policy](name) for name in names}
    ticks, until = 0, time.perf_counter() + seconds
    begun = time.process_time()
    while time.perf_counter() < until:
        game = Game(factory.generate(), names)
        while not game.is_done() and game.time < TICK_LIMIT and time.perf_counter() < until:
            game.step({name: agent.act(game.agent_observation(name)) for name, agent in agents.items()})
            ticks += 1
    print(json.dumps({"ticks_per_s": ticks / (time.process_time() - begun)}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
