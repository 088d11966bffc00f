"""Collectors as processes of their own, for tests that kill them, and what comes out of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from confluent_kafka import Consumer, Message, TopicPartition

from generals_runtime.kafka import make_consumer
from generals_runtime.settings import KafkaSettings


class CollectorProcess:
    """`python -m generals_collector` with its log in a file."""

    def __init__(self, kafka: str, prefix: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._environment = {
            **os.environ,
            "GENERALS_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "GENERALS_KAFKA__TOPIC_PREFIX": prefix,
            "GENERALS_COLLECTOR__GROUP": f"{prefix}collector",
            "GENERALS_COLLECTOR__FLOW__SESSION_TIMEOUT_S": "6",
            "GENERALS_OBSERVABILITY__LOG_FORMAT": "json",
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "CollectorProcess":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "generals_collector"],
                env=self._environment, stdout=log, stderr=log, cwd=self.log.parent,
            )  # fmt: skip
        return self

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 40.0) -> int:
        assert self.process is not None
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, and the body buried."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def __enter__(self) -> "CollectorProcess":
        return self if self.process else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


@contextmanager
def reading(kafka: KafkaSettings, topic: str) -> Iterator[Consumer]:
    """A consumer at the start of every partition of a topic."""
    consumer = make_consumer(kafka, group_id=f"read-{topic}", overrides={"auto.offset.reset": "earliest"})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    try:
        yield consumer
    finally:
        consumer.close()


def read_until(
    kafka: KafkaSettings, topic: str, enough: Callable[[list[Message]], bool], timeout_s: float = 60.0
) -> list[Message]:
    """All records of a topic, once `enough` is content with them."""
    deadline = time.monotonic() + timeout_s
    found: list[Message] = []
    with reading(kafka, topic) as consumer:
        while not enough(found):
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} records of {topic} after {timeout_s:g} s are not enough")
            found += [message for message in consumer.consume(500, 0.2) if message.error() is None]
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll a condition that another process brings about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.05)
