"""P7 and P12: the prioritised replay buffer beside cpprb, TorchRL and dm-reverb, 1M steps of real play on 20x20.

Each peer lives in an environment of its own under `.benchmarks/`, made on first use, and is asked by
`peers/replay_workload.py` for the same: sample 256, update their priorities. All store the same bytes a state; ours
also unpacks armies, works out n-step returns and finds the next states by their links.

A block, what is inserted at once, is a chunk of the default length: the peers get so many steps, ours a batch as the
log gives it, of as many (but for the last of a game).

    python benchmarks/replay_buffer.py [--steps 1000000] [--peers cpprb,torchrl,reverb]
"""

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from environments import OUT, python_with
from numpy.typing import NDArray

from generals_engine.play_settings import CHUNK_TICKS
from generals_schemas.records import ExperienceBatch

HERE = Path(__file__).parent
PLAY = OUT / "replay-play.npz"
PLAY_STEPS = 60_000
PEERS = {
    "cpprb": ["cpprb", "numpy"],
    "torchrl": ["torchrl", "tensordict", "numpy"],
    "reverb": ["dm-reverb[tensorflow]", "numpy"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=2, help="each is measured so often, in turn; the best counts")
    parser.add_argument("--ours", action="store_true", help="only measure ours (what this program starts itself)")
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(_measure_ours(options.steps)))
        return
    OUT.mkdir(exist_ok=True)
    if not PLAY.exists():
        _save_play()
    commands = {"ours": [sys.executable, __file__, "--ours", "--steps", str(options.steps)]}
    for name in filter(None, options.peers.split(",")):
        python = python_with(name, PEERS[name])
        if python is not None:
            script = str(HERE / "peers" / f"replay_{name}.py")
            commands[name] = [str(python), script, str(PLAY), str(options.steps), str(CHUNK_TICKS)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            result = _run(name, command)
            if result is not None:
                found[name].append(result)
    best = {name: max(results, key=lambda r: r["rounds_per_s"]) for name, results in found.items() if results}
    _print_all(best)


def _print_all(best: dict[str, dict[str, float]]) -> None:
    ours = best["ours"]
    for peer, theirs in best.items():
        if peer == "ours":
            continue
        for name in ("rounds_per_s", "insert_blocks_per_s", "insert_singly_per_s"):
            _print("P7", f"prioritised_{name}", ours[name], "1/s", peer, theirs[name])
        _print("P7", "sample_us", ours["sample_us"], "us", peer, theirs["sample_us"], smaller_is_better=True)
        _print("P7", "update_us", ours["update_us"], "us", peer, theirs["update_us"], smaller_is_better=True)
    if len(best) == 1:
        _print("P7", "prioritised_rounds_per_s", ours["rounds_per_s"], "1/s", None, None)
    _print("P12", "replay_bytes_per_experience", ours["bytes_per_step"], "bytes", "float32 pair", 28_800.0,
           smaller_is_better=True)  # fmt: skip


def _print(
    row: str, name: str, value: float, unit: str, peer: str | None, peer_value: float | None,
    *, smaller_is_better: bool = False,
) -> None:  # fmt: skip
    ratio = None
    if peer_value:
        ratio = round(peer_value / value if smaller_is_better else value / peer_value, 2)
    rounded = None if peer_value is None else round(peer_value, 2)
    print(
        json.dumps(
            {"id": row, "name": name, "value": round(value, 2), "unit": unit, "peer": peer, "peer_value": rounded,
             "ratio": ratio}
        ), flush=True,
    )  # fmt: skip


def _run(name: str, command: list[str]) -> dict[str, float] | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE / "peers")
    if done.returncode:
        print(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def played_batches() -> Iterator[ExperienceBatch]:
    """Real play of PLAY_STEPS steps: batches as the log gives them, the last of a game shorter than a block."""
    from real_play import play

    steps = 0
    for batch in play(side=20):
        yield batch
        steps += batch.steps
        if steps >= PLAY_STEPS:
            return


def _save_play() -> None:
    """Real play as bytes: armies up to 255 and the bit planes, what our buffer stores."""
    states, actions, rewards, done = [], [], [], []
    for batch in played_batches():
        bits = batch.bits[:-1].reshape(batch.steps, -1)
        states.append(np.concatenate([np.minimum(batch.armies[:-1], 255).astype(np.uint8), bits], axis=1))
        actions.append(batch.actions)
        rewards.append(batch.rewards)
        ends = np.zeros(batch.steps, np.uint8)
        ends[-1] = batch.end == "terminated"
        done.append(ends)
    np.savez(
        PLAY,
        states=np.concatenate(states),
        actions=np.concatenate(actions),
        rewards=np.concatenate(rewards),
        done=np.concatenate(done),
    )


def _measure_ours(steps: int) -> dict[str, float]:
    """The same workload; batches are inserted as the log gives them."""
    sys.path.insert(0, str(HERE / "peers"))
    import resource
    import time

    from replay_workload import ROUNDS, SAMPLE, SINGLES

    from generals_trainer.replay import ReplayBuffer
    from generals_trainer.samples import Layout

    batches = list(played_batches())
    rows = sum(batch.steps + 1 for batch in batches) / sum(batch.steps for batch in batches)
    buffer = ReplayBuffer(Layout.of(batches[0]), capacity=int(steps * rows) + 4096, n_step=1, alpha=0.6)
    warm = ReplayBuffer(Layout.of(batches[0]), capacity=5000, n_step=1, alpha=0.6)
    for batch in batches[:30]:
        warm.insert(batch)
    warm.update_priorities(warm.sample(SAMPLE).serials, np.ones(SAMPLE, np.float32))
    sources = itertools.cycle(batches)
    begun = time.perf_counter()
    turn = 0
    while buffer.counters.inserted < steps:
        batch = next(sources)
        turn += 1
        buffer.insert(replace(batch, game_id=f"{batch.game_id}/{turn // len(batches)}"))
    filled = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rng = np.random.default_rng(0)
    errors = rng.random((ROUNDS + 100, SAMPLE), np.float32)
    times = np.empty((ROUNDS + 100, 2))
    for i in range(ROUNDS + 100):
        first = time.perf_counter()
        sample = buffer.sample(SAMPLE, beta=0.4)
        second = time.perf_counter()
        buffer.update_priorities(sample.serials, errors[i])
        times[i] = second - first, time.perf_counter() - second
    single = [_one_step(batches[0], i % batches[0].steps) for i in range(SINGLES)]
    begun = time.perf_counter()
    for step in single:
        buffer.insert(step)
    singly = time.perf_counter() - begun
    sample_s, update_s = np.median(times[100:], axis=0)
    return {
        "sample_us": sample_s * 1e6,
        "update_us": update_s * 1e6,
        "rounds_per_s": 1.0 / float(np.median(times[100:].sum(axis=1))),
        "insert_blocks_per_s": steps / filled,
        "insert_singly_per_s": SINGLES / singly,
        "peak_bytes": float(peak),
        "bytes_per_step": buffer.nbytes / steps,
    }


def _one_step(batch: Any, step: int) -> Any:
    def two(array: NDArray[Any]) -> NDArray[Any]:
        return array[step : step + 2]

    return replace(
        batch,
        first_tick=batch.first_tick + step,
        chunk=step,
        armies=two(batch.armies),
        bits=two(batch.bits),
        scalars=two(batch.scalars),
        actions=batch.actions[step : step + 1],
        rewards=batch.rewards[step : step + 1],
    )


if __name__ == "__main__":
    main()
