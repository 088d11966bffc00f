"""`python -m generals_writer`."""

import sys

from generals_runtime.service import main
from generals_writer.settings import WriterSettings
from generals_writer.writer import WriterService

if __name__ == "__main__":
    sys.exit(main(WriterSettings, WriterService, name="writer"))
