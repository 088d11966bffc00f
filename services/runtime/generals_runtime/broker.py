"""A real Apache Kafka on this machine for the demo and the tests: one KRaft node, started from Kafka's own jars.

Unusual:
- The broker dies with us, even with SIGKILL. On Linux a tiny launcher asks the kernel for that (PR_SET_PDEATHSIG)
  before it becomes java. The kernel watches the *thread* that started the child, so one thread lives as long.
  Elsewhere only `stop`, the context manager and a normal exit end it.
- It has a session of its own: Ctrl-C in a terminal reaches the services first, the broker is stopped after them.
- Ports are chosen below the kernel's ephemeral range. Within it a client that retries while the broker is down can be
  given the broker's port as its own, connect to itself, and keep the broker from coming back.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from generals_runtime.kafka_jars import BrokerError, BrokerUnavailable, fetch_jars, find_jars, find_java
from generals_runtime.stop import Stop

__all__ = ["BrokerError", "BrokerUnavailable", "EmbeddedBroker", "free_port", "main", "new_cluster_id"]

HOST = "127.0.0.1"
_PORT_ATTEMPTS = 3

# Runs in a fresh interpreter, then becomes java: code between fork and exec is not safe in a process with threads.
_LAUNCHER = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def _first_ephemeral_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on, outside the ephemeral range where there is room for that."""
    last = _first_ephemeral_port() - 1
    for _ in range(50 if last > 12000 else 0):
        port = random.SystemRandom().randint(10000, last)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def new_cluster_id() -> str:
    """A random Kafka cluster id: 16 bytes as 22 characters of URL-safe Base64.

    Like Kafka's own `Uuid.randomUuid` it never begins with "-": the storage tool takes that for an option.
    """
    while True:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster.startswith("-"):
            return cluster


class EmbeddedBroker:
    """One Kafka node with its data in `data_dir`; it keeps topics, records and group offsets over restarts.

    `settings` adds to or overrides server.properties (TLS, SASL, quotas, ...); `format_arguments` go to
    `StorageTool format` (for example `--add-scram`); `client_config` is what the readiness probe connects with. Nodes
    of one cluster share a `cluster_id`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        heap: str = "768m",
        cluster_id: str | None = None,
        settings: Mapping[str, str] | None = None,
        client_config: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
        jvm_arguments: Sequence[str] = (),
        jars: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self._ports_are_ours = port is None
        self.port = port or free_port()
        self._controller_port = free_port()
        self._heap = heap
        self._cluster_id = cluster_id or new_cluster_id()
        self._settings = dict(settings or {})
        self._client_config = dict(client_config or {})
        self._format_arguments = list(format_arguments)
        self._jvm_arguments = list(jvm_arguments)
        self._jars = jars
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "broker.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise BrokerError("the embedded broker was not started")
        return self._process.pid

    def start(self, timeout_s: float = 60.0) -> EmbeddedBroker:
        """Start the node and return when it answers. Blocks; raises BrokerError with the log's last lines."""
        if self.running:
            raise BrokerError(f"the embedded broker already runs (pid {self.pid})")
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_once(timeout_s)
            except BrokerError:
                if attempt == _PORT_ATTEMPTS or not self._ports_are_ours or not self._port_was_taken():
                    raise
                self.port, self._controller_port = free_port(), free_port()
            else:
                return self
        raise AssertionError("unreachable")

    def stop(self, timeout_s: float = 30.0) -> None:
        """Orderly shutdown (SIGTERM), then SIGKILL after `timeout_s`. Does nothing when not running."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """SIGKILL: what a crash of the broker's process looks like."""
        self._end(signal.SIGKILL, 10.0)

    def restart(self, timeout_s: float = 60.0) -> EmbeddedBroker:
        """Stop in order and start again on the same data and port."""
        self.stop()
        return self.start(timeout_s)

    def __enter__(self) -> EmbeddedBroker:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_once(self, timeout_s: float) -> None:
        jars, java = self._jars or find_jars(), find_java()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        properties.touch(0o600)  # may hold passwords
        properties.write_text("".join(f"{k}={v}\n" for k, v in self._properties().items()), encoding="utf-8")
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        if not (self.data_dir / "log" / "meta.properties").exists():
            self._format(java, jars, properties)
        self._spawn([*self._java(java, jars, f"-Xmx{self._heap}"), "kafka.Kafka", str(properties)])
        try:
            self._wait_until_it_answers(timeout_s)
        except BaseException:
            self.kill()
            raise

    def _properties(self) -> dict[str, str]:
        controller = f"{HOST}:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"BROKER://{HOST}:{self.port},CONTROLLER://{controller}",
            "advertised.listeners": f"BROKER://{HOST}:{self.port}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data_dir / "log"),
            # One node: everything internal has one replica, and few partitions so that it is up at once.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.consumer.heartbeat.interval.ms": "1000",
            "group.consumer.min.heartbeat.interval.ms": "500",
            # After a crash the node waits for its old session to run out before it may register again.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            # Topics come from topics.yaml; a misspelt name shall fail instead of becoming a topic.
            "auto.create.topics.enable": "false",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            **self._settings,
        }

    def _java(self, java: Path, jars: Path, *flags: str) -> list[str]:
        return [
            str(java), "-cp", f"{jars}/*", "-Xshare:auto", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
            # The optimising compiler took half of a broker's CPU in its first minutes, beside the services it serves.
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
            # These two print every setting at each start; the settings are in server.properties.
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.ConfigLogger=warn",
            *flags, *self._jvm_arguments,
        ]  # fmt: skip

    def _format(self, java: Path, jars: Path, properties: Path) -> None:
        command = self._java(java, jars)
        command += ["kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(properties)]
        command += self._format_arguments
        with self.log_file.open("ab") as log:
            done = subprocess.run(  # noqa: S603 - java found by find_java
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
            )
        if done.returncode != 0:
            raise BrokerError(f"Kafka could not format {self.data_dir / 'log'}. {self._why()}")

    def _spawn(self, command: list[str]) -> None:
        started = threading.Event()
        failure: list[OSError] = []

        def keep() -> None:
            try:
                with self.log_file.open("ab") as log:
                    self._process = subprocess.Popen(  # noqa: S603 - java found by find_java
                        [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command],
                        stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                    )  # fmt: skip
            except OSError as error:
                failure.append(error)
                return
            finally:
                started.set()
            self._process.wait()  # the kernel kills the broker when this thread ends

        threading.Thread(target=keep, name="embedded-broker", daemon=True).start()
        started.wait()
        if failure:
            raise BrokerError(f"could not start {command[0]}: {failure[0]}")
        atexit.register(self.kill)

    def _wait_until_it_answers(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._wait_for(self._port_is_open, deadline, timeout_s)
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap_servers, "log_level": 0, "error_cb": _ignore}
        admin = AdminClient({**config, **self._client_config})

        def answers() -> bool:
            try:
                return bool(admin.list_topics(timeout=1.0).brokers)
            except KafkaException as error:
                if error.args[0].code() in (KafkaError._SSL, KafkaError._AUTHENTICATION):
                    raise BrokerError(f"the embedded broker refused the probe's client_config: {error}") from None
                return False

        self._wait_for(answers, deadline, timeout_s)

    def _wait_for(self, condition: Callable[[], bool], deadline: float, timeout_s: float) -> None:
        while not condition():
            if not self.running:
                raise BrokerError(f"Kafka ended while starting. {self._why()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka did not answer on {self.bootstrap_servers} in {timeout_s:g} s. {self._why()}")
            time.sleep(0.05)

    def _port_is_open(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), 0.2).close()
        except OSError:
            return False
        return True

    def _end(self, how: signal.Signals, timeout_s: float) -> None:
        process = self._process
        atexit.unregister(self.kill)
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _new_log_text(self) -> str:
        with contextlib.suppress(FileNotFoundError), self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")
        return ""

    def _port_was_taken(self) -> bool:
        return "Address already in use" in self._new_log_text()

    def _why(self) -> str:
        text = self._new_log_text()
        if "UnsupportedClassVersionError" in text:
            return f"{find_java()} is too old: Kafka needs Java 17 or newer."
        telling = [line for line in text.splitlines() if "ERROR" in line or "Exception" in line] or text.splitlines()
        return f"Its log {self.log_file} says: " + (" | ".join(telling[-4:]) or "(nothing)")


def _ignore(_error: KafkaError) -> None:
    """The probe asks again by itself; librdkafka's complaints about a starting broker say nothing new."""


def _serve(data_dir: Path, port: int) -> None:
    """Run a broker in the foreground until SIGINT or SIGTERM."""
    stop = Stop()
    stop.on_signals()
    with EmbeddedBroker(data_dir, port=port) as broker:
        sys.stdout.write(f"Kafka answers on {broker.bootstrap_servers}, data and log in {broker.data_dir}\n")
        sys.stdout.flush()
        while broker.running and not stop.wait(0.2):
            pass
        if not stop:
            raise BrokerError(f"Kafka ended by itself; see {broker.log_file}")


def main(arguments: Sequence[str] | None = None) -> int:
    """`fetch` the jars, or `run` a broker in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m generals_runtime.broker", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch Kafka's jars by Maven into .cache/kafka")
    run = commands.add_parser("run", help="run one broker in the foreground")
    run.add_argument("--data-dir", type=Path, default=Path("data/kafka"))
    run.add_argument("--port", type=int, default=9092)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "fetch":
            sys.stdout.write(f"Kafka's jars are in {fetch_jars()}\n")
        else:
            _serve(chosen.data_dir, chosen.port)
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
