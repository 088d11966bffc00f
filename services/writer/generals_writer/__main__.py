"""`python -m generals_writer`."""

import sys

from generals_runtime.memory import share_one_heap

if __name__ == "__main__":
    share_one_heap()
    # Not before: they import pyarrow.
    from generals_runtime.service import main
    from generals_writer.settings import WriterSettings
    from generals_writer.writer import WriterService

    sys.exit(main(WriterSettings, WriterService, name="writer"))
