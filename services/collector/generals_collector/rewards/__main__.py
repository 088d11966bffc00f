"""Print the documentation of all rewards: `python -m generals_collector.rewards > docs/rewards.md`."""

import sys

from generals_collector.reward_page import document

if __name__ == "__main__":
    sys.stdout.write(document())
