"""P2: whole games played by the engine, their chunks encoded as they are sent, ticks a second on one core.
E11: how long policies take to answer for 128 games (`answers`).

Two players, 20 x 20, 128 games side by side, cut short after 2,000 ticks; starting, finishing and replacing games is in
the figure, sending is not. `recorded` is the same without the encoding. Seconds are the process's own, so that another
one on the same core shows in the wall time and not here. The peer runs in the same minutes, in its own environment, and
neither records nor encodes. All take turns, and the best round of each counts: other work on the machine only slows.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from answers import answer_times
from environments import python_with

from generals_engine.games import GamePool
from generals_engine.play_settings import PlaySettings
from generals_engine.policies import find_policy
from generals_schemas.codec import encode_chunk

HERE = Path(__file__).parent
PEER = "generals-bots==2.5.0"
POLICIES = ("random", "expander")


def measure(policy: str, seconds: float, *, encode: bool) -> tuple[float, float]:
    """Ticks a second, and bytes an experience (0 without the encoding)."""
    settings = PlaySettings(
        run="bench", policies=(find_policy(policy),), width=20, height=20, games=128, tick_limit=2000, seed=1
    )
    pool = GamePool(settings, now_ms=lambda: 0, pack=encode)
    for _ in range(settings.games // 4):  # compiles, and gets the games out of their opening
        pool.advance()
    ticks = size = 0
    begun, until = time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        for played in pool.advance():
            if played.chunk is not None:
                ticks += played.chunk.ticks
                size += len(encode_chunk(played.chunk, played.packed)) if encode else 0
    return ticks / (time.process_time() - begun), size / (2 * ticks)


def measure_peer(policy: str, seconds: float) -> float | None:
    """The peer's ticks a second; None, with a word on stderr, if it cannot be had."""
    python = python_with("generals-bots", [PEER])
    if python is None:
        return None
    try:
        script = [str(python), str(HERE / "peers" / "engine_generals_bots.py"), policy, str(seconds)]
        done = subprocess.run(script, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        print(f"{PEER}: {error.stderr[-300:]}", file=sys.stderr)
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["ticks_per_s"])


def report(name: str, value: float, unit: str, peer_value: float | None = None, row: str = "P2") -> None:
    ratio = None if peer_value is None else round(value / peer_value, 1)
    figure = {"id": row, "name": name, "value": round(value, 1), "unit": unit}
    peer = None if peer_value is None else PEER
    rounded = None if peer_value is None else round(peer_value, 1)
    print(json.dumps({**figure, "peer": peer, "peer_value": rounded, "ratio": ratio}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    for policy in POLICIES:
        peers, encodings, recordings = [], [], []
        for _ in range(arguments.rounds):
            peers.append(None if arguments.no_peers else measure_peer(policy, arguments.seconds))
            encodings.append(measure(policy, arguments.seconds, encode=True))
            recordings.append(measure(policy, arguments.seconds, encode=False))
        peer = max((rate for rate in peers if rate is not None), default=None)
        (encoded, size), (recorded, _) = max(encodings), max(recordings)
        report(f"engine_{policy}_encoded", encoded, "ticks/s", peer)
        report(f"engine_{policy}_recorded", recorded, "ticks/s", peer)
        report(f"engine_{policy}_chunk_bytes_per_experience", size, "bytes")
    for policy, (p50, p99) in answer_times(arguments.seconds).items():
        report(f"answer_{policy}_128_games_p50", p50, "ms", row="E11")
        report(f"answer_{policy}_128_games_p99", p99, "ms", row="E11")


if __name__ == "__main__":
    main()
