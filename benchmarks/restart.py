"""Does a trainer that was killed go on as if nothing had happened? Means of the 2,000 updates before and after.

Expander plays hunter on 8x8 boards until there is enough on the topic; a trainer learns from that, is killed with
SIGKILL at update 16,000 and started anew. By then the loss has settled, which the same comparison around moments
without a restart shows. Returns are those of expander's games, each at the update before which its last chunk went in;
they are summed up here, from the topic. The standard errors are those of independent windows and games.

    python benchmarks/restart.py [--kill-at 16000]                    # about eight minutes

Prints a line of JSON for each comparison: `z` is the difference in standard errors, asked to be within 2.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generals_client.reader import RecordReader
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import ensure_topics
from generals_runtime.settings import KafkaSettings

WINDOW = 2000
BATCH = 32
SAMPLES_PER_INSERT = 0.5
STEPS_A_GAME = 300
"""Experiences of both players; a little less than there are."""
POLICY = "expander"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kill-at", type=int, default=16_000, help="the update at which the trainer is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(Path(folder) / "kafka") as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(kafka, kafka.topics().with_partitions(1))
        run = Run(Path(folder), kafka, end=options.kill_at + WINDOW + WINDOW // 4)
        try:
            run.play()
            before, after, resumed = run.train_and_kill(options.kill_at)
            at, returns = run.returns()
        finally:
            run.stop()
    for middle in (*range(resumed // 2, resumed - WINDOW + 1, WINDOW), resumed):
        restarted = middle == resumed
        for name in ("loss", "td_error"):
            report(name, middle, restarted, reports(before, name, middle, -1), reports(before + after, name, middle, 1))
        earlier, later = (at > middle - WINDOW) & (at <= middle), (at > middle) & (at <= middle + WINDOW)
        report("return", middle, restarted, returns[earlier], returns[later])


class Run:
    """The services of one run, in one folder."""

    def __init__(self, folder: Path, kafka: KafkaSettings, *, end: int) -> None:
        self._folder, self._kafka = folder, kafka
        self._trainer_dir = folder / "trainer"
        self._collector: subprocess.Popen[bytes] | None = None
        learner = {"network_width": 4, "network_blocks": 1, "batch_size": BATCH, "learning_rate": 2e-4}
        config = {
            "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
            "engine": {
                "width": 8, "height": 8, "tick_limit": 400, "games": 64, "memory": True, "seed": 5,
                "policies": [POLICY, "hunter"],
                "max_games": round(end * BATCH / SAMPLES_PER_INSERT / STEPS_A_GAME),
            },
            "collector": {"encoding": "memory", "reward": "outcome+potential"},
            "trainer": {
                "run_dir": str(self._trainer_dir), "policy": POLICY, "max_steps": end, "threads": 1,
                "samples_per_insert": SAMPLES_PER_INSERT, "checkpoint_every_s": 5.0, "log_every_s": 0.5,
                "replay": {"capacity": 200_000, "alpha": 0.0, "warmup": 20_000},
                "learner": learner,
            },
        }  # fmt: skip
        self._config = folder / "config.yaml"
        self._config.write_text(json.dumps(config))  # JSON is YAML

    def play(self) -> None:
        """All the games; the collector goes on with what is left of them."""
        self._collector = self._start("collector")
        if self._start("engine").wait():
            raise SystemExit(f"the engine failed: {self._log('engine').read_text()[-2000:]}")

    def train_and_kill(self, kill_at: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
        """Reports of the first life, of the second, and the update that the second went on from."""
        trainer = self._start("trainer")
        while not any(row["trainer_steps"] >= kill_at for row in self._history()[-1:]):
            if trainer.poll() is not None:
                raise SystemExit(f"the trainer failed: {self._log('trainer').read_text()[-2000:]}")
            time.sleep(0.2)
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
        before = self._history()
        if self._start("trainer").wait():
            raise SystemExit(f"the trainer did not go on: {self._log('trainer').read_text()[-2000:]}")
        logged = [json.loads(line) for line in self._log("trainer").read_text().splitlines()]
        resumed = next(line["trainer_steps"] for line in logged if line["event"] == "gone on from a checkpoint")
        kept = [row for row in before if row["trainer_steps"] <= resumed]
        return kept, self._history()[len(before) :], resumed

    def returns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each game of the policy: the update before which it had gone in, and its return."""
        updates, returns, inserted = [], [], 0
        running: dict[str, float] = {}
        topic = self._kafka.topics().experiences.name
        servers = self._kafka.bootstrap_servers
        with RecordReader(bootstrap_servers=servers, group="restart", topic=topic) as reader:
            while not reader.at_end:
                for batch in (delivered.batch for delivered in reader.poll(1.0)):
                    inserted += batch.steps
                    if batch.policy.name != POLICY:
                        continue
                    running[batch.game_id] = running.get(batch.game_id, 0.0) + float(batch.rewards.sum())
                    if batch.end != "none":
                        updates.append(inserted * SAMPLES_PER_INSERT / BATCH)
                        returns.append(running.pop(batch.game_id))
        return np.array(updates), np.array(returns)

    def stop(self) -> None:
        if self._collector is not None:
            self._collector.terminate()
            self._collector.wait()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"generals_{name}"]
        with self._log(name).open("ab") as log:
            return subprocess.Popen(command, env={**os.environ, "GENERALS_CONFIG": str(self._config)}, stderr=log)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _history(self) -> list[dict[str, Any]]:
        history = self._trainer_dir / "history.jsonl"
        return [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []


def reports(rows: list[dict[str, Any]], name: str, middle: int, side: int) -> NDArray[np.float64]:
    """A number of the reports within a window before (side -1) or behind (1) an update."""
    low, high = sorted((middle, middle + side * WINDOW))
    return np.array([row[name] for row in rows if low < row["trainer_steps"] <= high and row.get(name) is not None])


def report(name: str, middle: int, restarted: bool, before: NDArray[np.float64], after: NDArray[np.float64]) -> None:
    error = np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
    line = {
        "name": name, "update": middle, "restarted": restarted,
        "before": round(before.mean(), 5), "after": round(after.mean(), 5),
        "standard_error": round(error, 5), "z": round((after.mean() - before.mean()) / error, 2),
        "windows_or_games": [len(before), len(after)],
    }  # fmt: skip
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
