"""Print what packages of this repository need from outside it, read from their pyproject.toml.

    python requirements.py schemas[fast] services/engine[onnx] > requirements.txt

Runs in a bare base image, before anything is installed: standard library only.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_OURS = re.compile(r"generals[-_]")


def requirements(folder: Path, extras: list[str]) -> Iterator[str]:
    """The dependencies of the package in `folder` and of its `extras`, less this repository's own packages."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project.get("optional-dependencies", {})
    unknown = [extra for extra in extras if extra not in optional]
    if unknown:
        raise SystemExit(f"{folder} has no extra {', '.join(unknown)}; it has {', '.join(sorted(optional)) or 'none'}")
    named = [*project.get("dependencies", []), *(line for extra in extras for line in optional[extra])]
    return (line for line in named if not _OURS.match(line))


def main(arguments: list[str]) -> None:
    """One sorted list of all packages named."""
    found: set[str] = set()
    for argument in arguments:
        folder, _, extras = argument.rstrip("]").partition("[")
        found.update(requirements(Path(folder), [extra for extra in extras.split(",") if extra]))
    sys.stdout.write("".join(f"{line}\n" for line in sorted(found)))


if __name__ == "__main__":
    main(sys.argv[1:])
