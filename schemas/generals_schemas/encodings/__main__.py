"""Print the documentation of all encodings: `python -m generals_schemas.encodings > docs/encodings.md`."""

import sys

from generals_schemas.encoding_tables import document

if __name__ == "__main__":
    sys.stdout.write(document())
