"""Where the embedded broker's jars and its Java are found, and how the jars are fetched.

Unusual: nothing is fetched behind the user's back. A missing jar or a missing Java is an error that says what to do;
only `python -m generals_runtime.broker fetch` runs Maven.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from generals_runtime.errors import OperatorError

JARS_VARIABLE = "GENERALS_KAFKA_JARS"
FETCH_COMMAND = "python -m generals_runtime.broker fetch"
_REQUIRED = ("kafka_2.13-*.jar", "kafka-clients-*.jar", "slf4j-api-*.jar", "slf4j-simple-*.jar")


class BrokerError(OperatorError):
    """The embedded broker cannot do what was asked; the message says why and what to do."""


class BrokerUnavailable(BrokerError):
    """Java or Kafka's jars are missing on this machine."""


def repository_root() -> Path | None:
    """The checkout this package or the working directory lies in, known by its `infra/kafka/pom.xml`."""
    for start in (Path(__file__).resolve(), Path.cwd() / "_"):
        for folder in start.parents:
            if (folder / "infra" / "kafka" / "pom.xml").is_file():
                return folder
    return None


def _candidates() -> Iterator[Path]:
    named = os.environ.get(JARS_VARIABLE)
    if named:
        yield Path(named).expanduser()
        return
    root = repository_root()
    if root is not None:
        yield root / ".cache" / "kafka"


def missing_jars(folder: Path) -> list[str]:
    return [pattern for pattern in _REQUIRED if not any(folder.glob(pattern))]


def find_jars() -> Path:
    """The folder with Kafka's jars: GENERALS_KAFKA_JARS, else `.cache/kafka` in the checkout."""
    looked: list[str] = []
    for folder in _candidates():
        missing = missing_jars(folder)
        if not missing:
            return folder
        looked.append(f"{folder} lacks {', '.join(missing)}")
    where = "; ".join(looked) or f"{JARS_VARIABLE} is not set and no checkout with infra/kafka/pom.xml is near"
    raise BrokerUnavailable(
        f"Kafka's jars were not found: {where}. Run `{FETCH_COMMAND}` (needs Maven), "
        f"or set {JARS_VARIABLE} to a folder that holds them."
    )


def find_java() -> Path:
    """JAVA_HOME's java, else the one on PATH."""
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        if java.is_file():
            return java
        raise BrokerUnavailable(f"JAVA_HOME is {home}, but {java} does not exist. Unset it or point it at Java 17+.")
    on_path = shutil.which("java")
    if on_path is None:
        raise BrokerUnavailable("No `java` on PATH and JAVA_HOME is not set. Install Java 17 or newer.")
    return Path(on_path)


def fetch_jars(target: Path | None = None) -> Path:
    """Copy Kafka's jars to `target` (default: `.cache/kafka` in the checkout) by Maven; all of them or nothing."""
    root = repository_root()
    if root is None:
        raise BrokerUnavailable("No infra/kafka/pom.xml near: run this inside a checkout of the repository.")
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerUnavailable(f"No `mvn` on PATH. Install Maven, or set {JARS_VARIABLE} to a folder with the jars.")
    folder = target or root / ".cache" / "kafka"
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial.resolve()}"]
    try:
        done = subprocess.run(  # noqa: S603 - our own pom, an absolute program
            [maven, "-q", "-B", "-f", str(root / "infra" / "kafka" / "pom.xml"), *goal],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            last = " | ".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise BrokerUnavailable(f"Maven could not fetch Kafka's jars (exit {done.returncode}): {last}")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
