"""`python -m generals_engine`."""

import sys

from generals_engine.settings import EngineSettings
from generals_engine.worker import EngineWorker
from generals_runtime.service import main

if __name__ == "__main__":
    sys.exit(main(EngineSettings, EngineWorker, name="engine"))
