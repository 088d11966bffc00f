"""`generals learn`: an agent learns from nothing through the whole pipeline, then plays its matches.

Broker, engines, collector and trainer are the real services, as processes of their own. Five engines play at chosen
rates, which makes the mix of games. The agent learns from all seats of all games; what the strategist does it also
imitates, and what comes of it, and of its own play, tells it where to do better.
"""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from generals_console.processes import Children
from generals_console.stopping import StopFlag
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.errors import OperatorError
from generals_runtime.kafka import ensure_topics
from generals_runtime.published_policies import fetch_policy, read_policies
from generals_runtime.settings import KafkaSettings

POLICY = "dqn"
LATEST = Path("runs/learn/latest.onnx")
PARTITIONS = 2
PROGRESS_S = 15.0
LOOK_S = 0.5
LEARNER, PAST = "generals_engine.trained:newest", "generals_engine.trained:past"
TEACHER = "strategist"
GAMES = {
    (LEARNER, "expander"): 0.2,
    (LEARNER, "random"): 0.2,
    (LEARNER, TEACHER): 0.2,
    (LEARNER, PAST): 0.2,
    (TEACHER, "expander"): 0.2,
}
"""Who plays whom, and their shares of the ticks played."""


@dataclass(frozen=True, slots=True)
class LearnOptions:
    """What a person may choose."""

    minutes: float = 15.0
    updates: int = 8_500
    size: int = 8
    seed: int = 0
    ticks_per_second: float = 1300.0
    run_dir: Path = Path("runs/learn")


def run_learn(options: LearnOptions, stop: StopFlag, say: Callable[[str], None]) -> Path:
    """Learn for so many minutes or updates, whichever ends first. Returns the newest policy's file.

    Raises:
        Stopped: `stop` was set.
        ServiceDied, BrokerError: told with the end of the log.
        OperatorError: nothing was published.
    """
    run_dir = options.run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        say("starting Apache Kafka")
        broker = stack.enter_context(EmbeddedBroker(run_dir / "kafka"))
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(kafka, kafka.topics().with_partitions(PARTITIONS))
        config = run_dir / "learn.yaml"
        config.write_text(yaml.safe_dump(configuration(options, run_dir, kafka), sort_keys=False))
        children = stack.enter_context(Children(run_dir / "logs", {"GENERALS_CONFIG": str(config)}))
        children.start("collector", "generals_collector", {})
        children.start("trainer", "generals_trainer", {})
        engines = {f"engine-{number}": engine_variables(options, number) for number in range(len(GAMES))}
        for name, variables in engines.items():
            children.start(name, "generals_engine", variables)
        _watch(options, run_dir, children, stop, say)
        children.stop(*engines, timeout_s=15.0)
        children.stop("trainer", "collector", timeout_s=30.0)
        newest = read_policies(kafka).newest(POLICY)
        if newest is None:
            raise OperatorError(f"no policy was published; see {run_dir / 'logs'}")
        policy = run_dir / f"{newest.name}@{newest.version}.onnx"
        policy.write_bytes(fetch_policy(newest))
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(policy, LATEST)
    return policy


def configuration(options: LearnOptions, run_dir: Path, kafka: KafkaSettings) -> dict[str, Any]:
    """The one YAML of all services."""
    return {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
        "observability": {"log_format": "json"},
        "engine": {
            "width": options.size,
            "height": options.size,
            "tick_limit": 250,
            "chunk_ticks": 32,
            "memory": True,
            "split_percent": 0,
            "seed": options.seed,
            "workers": len(GAMES),
            "trained": {
                "name": POLICY,
                "explore_from": 0.5,
                "explore_steps": 1900,
                "explore_floor": 0.02,
                "past_versions": 8,
                "past_every": 4,
            },
        },
        "collector": {
            "encoding": "memory",
            # The clock stands still from tick 200 on: matches are longer than the games of training.
            "encoding_params": {"tick_scale": 200.0},
            "reward": "outcome+potential",
            "reward_params": {"potential.end": 0.5, "potential.cut": 0.0},
        },
        "trainer": {
            "run_dir": str(run_dir / "trainer"),
            "policy": POLICY,
            "seed": options.seed,
            "samples_per_insert": None,
            "max_steps": options.updates,
            "publish_every_s": 11.0,
            "checkpoint_every_s": 60.0,
            "log_every_s": 5.0,
            "replay": {
                "capacity": 330_000,
                "alpha": 0.0,
                "n_step": 7,
                "gamma": 0.99,
                "bootstrap_truncated": False,  # a draw is a draw
                "warmup": 5_000,
            },
            "learner": {
                "steps": options.updates,
                "split_moves": False,
                "learning_rate": 1e-3,
                "demonstrators": [TEACHER],
            },
        },
    }


def engine_variables(options: LearnOptions, number: int) -> dict[str, str]:
    """What this engine plays, beyond what all play."""
    policies, share = list(GAMES.items())[number]
    return {
        "GENERALS_ENGINE__WORKER": str(number),
        "GENERALS_ENGINE__POLICIES": json.dumps(policies),
        "GENERALS_ENGINE__GAMES": str(max(8, round(128 * share))),
        "GENERALS_ENGINE__TICKS_PER_SECOND": str(round(options.ticks_per_second * share, 1)),
    }


def _watch(
    options: LearnOptions, run_dir: Path, children: Children, stop: StopFlag, say: Callable[[str], None]
) -> None:
    """Say how it goes until the updates are made or the time is over."""
    begun = said = time.monotonic()
    while time.monotonic() - begun < 60 * options.minutes:
        status = read_status(run_dir / "trainer")
        if status.get("trainer_steps", 0) >= options.updates:
            return
        children.check()
        if time.monotonic() - said >= PROGRESS_S:
            said = time.monotonic()
            say(progress_line((said - begun) / 60, status))
        stop.wait(LOOK_S)


def read_status(trainer_dir: Path) -> dict[str, Any]:
    """The trainer's last report; empty before the first."""
    try:
        found: dict[str, Any] = json.loads((trainer_dir / "status.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def read_history(trainer_dir: Path) -> list[dict[str, Any]]:
    """All of the trainer's reports; none before the first."""
    try:
        text = (trainer_dir / "history.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def progress_line(minutes: float, status: dict[str, Any]) -> str:
    """One line for a person."""
    if not status:
        return f"{minutes:5.1f} min · the services are starting"
    parts = [
        f"{minutes:5.1f} min",
        f"{status['trainer_steps']:,} updates ({status['steps_per_s']:.1f}/s)",
        f"{status['experiences_inserted']:,} experiences ({status['inserts_per_s']:.0f}/s)",
        f"version {status['policy_version']}",
    ]
    for name, label in (("loss", "loss"), ("mean_return", "return"), ("staleness_p99", "staleness p99")):
        if status.get(name) is not None:
            parts.append(f"{label} {status[name]:.3g}")
    return " · ".join(parts)
