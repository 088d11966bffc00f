"""`python -m generals_collector`."""

import sys

from generals_collector.service import CollectorService
from generals_collector.settings import CollectorSettings
from generals_runtime.service import main

if __name__ == "__main__":
    sys.exit(main(CollectorSettings, CollectorService, name="collector"))
