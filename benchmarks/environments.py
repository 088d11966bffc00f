"""The peers' environments: each has one of its own under `.benchmarks/`, made on first use."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OUT = Path(__file__).parents[1] / ".benchmarks"


def python_with(name: str, packages: Sequence[str]) -> Path | None:
    """The Python of environment `name`; None, with a word on stderr, if `packages` cannot be installed in it.

    One that was not finished is made anew.
    """
    home = OUT / name
    python, complete = home / "bin" / "python", home / ".complete"
    if complete.exists():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        print(f"{', '.join(packages)} cannot be installed: {error.stderr.decode()[-300:]}", file=sys.stderr)
        return None
    complete.touch()
    return python
