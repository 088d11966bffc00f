"""Where the `generals` command begins: Ctrl-C while its libraries are still loading ends it as it does later on."""

import os
import signal
from types import FrameType

STOPPED_BY_CTRL_C = 130


def main() -> None:
    """Load the command and run it."""
    signal.signal(signal.SIGINT, _leave)
    from generals_console.main import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Nothing was begun: an exception would come out of the middle of somebody's import, as an error of theirs."""
    os._exit(STOPPED_BY_CTRL_C)
