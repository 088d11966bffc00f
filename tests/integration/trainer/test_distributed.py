"""Two ranks by torchrun on the real broker: one is lost, the other goes on with all partitions."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from generals_runtime.kafka import OrderedProducer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import Source
from generals_trainer import checkpoint

STEPS = 8
PARTITIONS = 2


def produce(kafka: KafkaSettings, topic: str, make: Any, games: range) -> int:
    """One chunk a game and player, source offsets unbroken in each partition. Returns the experiences."""
    with OrderedProducer(kafka) as producer:
        for game in games:
            for player in range(2):
                source = Source("transitions", "tid", game % PARTITIONS, game // PARTITIONS, player, 2)
                batch = make(game, source)
                producer.send(topic, game % PARTITIONS, b"key", encode_batch(batch))
        producer.flush()
    return len(games) * 2 * STEPS


def status_of(run_dir: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((run_dir / "status.json").read_text())
    except FileNotFoundError:
        return {}
    return found


@contextlib.contextmanager
def agents(count: int, config: Path, log: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """torchrun's agents, one rank each, elastic from one to `count`.

    All must meet in the first rendezvous (so the long last call): an agent that began alone does not tell later comers
    where its workers meet, as of torch 2.15.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nnodes=1:{count}", "--nproc-per-node=1", "--max-restarts=5",
        "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test",
        "--rdzv-conf=last_call_timeout=30,keep_alive_interval=2,keep_alive_max_attempt=5,join_timeout=180",
        "--monitor-interval=0.2", "-m", "generals_trainer",
    ]  # fmt: skip
    environment = {**os.environ, "GENERALS_CONFIG": str(config), "OMP_NUM_THREADS": "1"}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            with log.with_suffix(f".{number}").open("ab") as file:
                started.append(subprocess.Popen(command, env=environment, stderr=file, start_new_session=True))
            if number == 0:
                wait_for(lambda: listens(port), started, log)  # the first agent keeps the rendezvous
        yield started
    finally:
        for process in started:
            lose(process)


def lose(agent: subprocess.Popen[bytes]) -> None:
    """Kill an agent and its rank at once, as a lost machine would; a rank has a session of its own and outlives it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        ranks = psutil.Process(agent.pid).children(recursive=True)
        for process in (*ranks, agent):
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(ranks, timeout=10)
    agent.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(
    done: Callable[[], bool], processes: list[subprocess.Popen[bytes]], log: Path, within_s: float = 200
) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline or all(process.poll() is not None for process in processes):
            logs = "\n".join(file.read_text()[-3000:] for file in log.parent.glob(f"{log.stem}.*"))
            pytest.fail(f"it did not come to be within {within_s} s:\n{logs}")
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.partitions(PARTITIONS)
@pytest.mark.timeout(600)
def test_the_job_goes_on_with_the_rank_that_remains(
    kafka_settings: KafkaSettings, topics_for_test: Any, tmp_path: Path, small_batch: Any
) -> None:
    first = produce(kafka_settings, topics_for_test.experiences, small_batch, range(200))
    run_dir = tmp_path / "run"
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "kafka": {
                    "bootstrap_servers": kafka_settings.bootstrap_servers,
                    "topic_prefix": topics_for_test.prefix,
                },
                "trainer": {
                    "run_dir": str(run_dir),
                    "group": topics_for_test.prefix,
                    "samples_per_insert": 1.0,
                    "checkpoint_every_s": 1.0,
                    "log_every_s": 0.3,
                    "learner": {"batch_size": 16, "network_width": 4, "network_blocks": 1},
                    "replay": {"capacity": 20_000, "warmup": 64, "n_step": 3},
                },
            }
        )
    )
    log = tmp_path / "agent.log"
    with agents(2, config, log) as running:
        wait_for(lambda: status_of(run_dir).get("experiences_inserted") == first, running, log)
        wait_for(lambda: len(list(run_dir.glob("rank1-*.pt"))) > 0, running, log)
        steps = status_of(run_dir)["trainer_steps"]
        saved = checkpoint.load(run_dir)
        assert saved is not None
        assert saved.progress["world"] == 2
        assert steps > 0
        lose(running[1])
        second = produce(kafka_settings, topics_for_test.experiences, small_batch, range(200, 300))
        wait_for(
            lambda: status_of(run_dir).get("experiences_inserted") == first + second
            and status_of(run_dir)["samples_per_insert_error"] < 0.02,
            running[:1], log,
        )  # fmt: skip
        wait_for(lambda: alone(run_dir), running[:1], log)
    last = checkpoint.load(run_dir)
    assert last is not None
    assert last.progress["steps"] > steps
    assert last.progress["inserted"] == first + second
    assert {position.partition: position.offset for position in last.positions} == dict.fromkeys(range(PARTITIONS), 300)


def alone(run_dir: Path) -> bool:
    saved = checkpoint.load(run_dir)
    return saved is not None and saved.progress["world"] == 1 and sum(p.offset for p in saved.positions) == 600
