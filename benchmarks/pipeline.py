"""P1: everything live on this machine: engine, Kafka (acks=all), Faust collector, writer, the trainer's replay buffer.
P11: the same experiences, made before, through dm-reverb on loopback, in the same minutes.

Real play (expander against expander, 20 x 20, chunks of the default length). After a warm-up the counters of both sinks
are read, and again after `--seconds`: experiences played, rows in committed objects of the archive, experiences put
into the replay buffer; the least counts, so that nothing counts that lay waiting before. Then the engine stops, the
rest comes through, and the archive's rows are read: all distinct, and as many as were collected and inserted. The
learner takes no steps (its warm-up never ends); everything else is as deployed.

The peer keeps nothing on disk, plays nothing and encodes nothing. It gets what one experience is on our wire, unpacked:
armies, four bit planes, action, reward, end.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from encode import RECIPE, chunks
from environments import OUT, python_with
from live import Live, Reading
from matplotlib.figure import Figure

from generals_collector.tensorise import tensorise
from generals_console.archive_rows import archived_rows
from generals_schemas.records import Source

HERE = Path(__file__).parent
GO_IN_PROCESS = 200_000
"""What a Go system reports for the same game in one process without a log. Not measured here."""


def measure(live: Live, warm_up: float, seconds: float) -> tuple[list[Reading], int]:
    """The readings of the window, and the distinct experiences in the archive at the end.

    Raises:
        SystemExit: the sinks do not hold the same, or hold something twice.
    """
    with live.running():
        live.wait_for_both_sinks()
        live.run_for(warm_up)
        live.held_s = 0.0
        readings = live.run_for(seconds)
        last = live.drain()
    rows = archived_rows(live.archive, live.topic)
    distinct = len(np.unique(rows.games << 32 | rows.players << 24 | rows.ticks))
    if not distinct == len(rows.games) == last.inserted == last.collected:
        raise SystemExit(
            f"not the same everywhere: {last.collected:,.0f} collected, {last.inserted:,.0f} inserted, "
            f"{len(rows.games):,} rows in the archive, of them {distinct:,} distinct"
        )
    return readings, distinct


def measure_reverb(seconds: float) -> float | None:
    """dm-reverb's experiences a second; None, with a word on stderr, if it cannot be had."""
    python = python_with("reverb-live", ["dm-reverb[tensorflow]", "numpy"])
    if python is None:
        return None
    play = OUT / "live-play.npz"
    save_play(play)
    try:
        script = [str(python), str(HERE / "peers" / "live_reverb.py"), str(seconds), str(play)]
        done = subprocess.run(script, check=True, capture_output=True, timeout=seconds + 180)
    except subprocess.CalledProcessError as error:
        print(f"dm-reverb could not be measured: {error.stderr.decode()[-400:]}", file=sys.stderr)
        return None
    except subprocess.TimeoutExpired as error:
        print(f"dm-reverb could not be measured: {error}", file=sys.stderr)
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["experiences_per_s"])


def save_play(path: Path) -> None:
    """The experiences of 32 batches of full length, in the narrow types of our wire."""
    batches = [batch for chunk in chunks(48)[16:] for batch in tensorise(chunk, Source("", "", 0, 0, 0, 1), RECIPE)]
    full = [batch for batch in batches if batch.steps == max(one.steps for one in batches)][:32]
    np.savez(
        path,
        armies=np.stack([batch.armies[:-1].astype(np.uint16) for batch in full]),
        bits=np.stack([batch.bits[:-1].reshape(batch.steps, -1) for batch in full]),
        actions=np.stack([batch.actions for batch in full]),
        rewards=np.stack([batch.rewards for batch in full]),
    )


def report(
    row: str,
    name: str,
    value: float,
    unit: str,
    peer: str | None = None,
    peer_value: float | None = None,
    **more: object,
) -> None:
    ratio = round(value / peer_value, 2) if peer_value else None
    line = {"id": row, "name": name, "value": round(value, 2), "unit": unit, "peer": peer, "peer_value": peer_value}
    print(json.dumps({**line, "ratio": ratio, **more}), flush=True)


def draw(readings: list[Reading], costs: dict[str, float], path: Path) -> None:
    """What came through in the window, and where the CPU time of an experience went."""
    begin = readings[0]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 3.8), layout="constrained")
        rates, cpu = figure.subplots(1, 2, width_ratios=[3, 2])
        for name in ("collected", "archived", "inserted"):
            counts = [getattr(reading, name) - getattr(begin, name) for reading in readings]
            rates.plot([reading.at_s - begin.at_s for reading in readings], np.array(counts) / 1e6, label=name)
        rates.set(title="experiences since the window began (millions)", xlabel="seconds", ylim=(0, None))
        rates.legend(frameon=False)
        names = sorted(costs, key=costs.__getitem__)
        bars = cpu.barh(names, [costs[name] for name in names], color="#2563eb")
        cpu.bar_label(bars, fmt="%.2f", padding=3)
        cpu.set(title="CPU time an experience, by process (µs)")
        figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=30.0)
    parser.add_argument("--backlog", type=float, default=2_000_000, help="experiences in between that hold the engine")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="pipeline-", dir=OUT))
    live = Live(folder, most_backlog=options.backlog)
    readings, distinct = measure(live, options.warm_up, options.seconds)
    shutil.rmtree(folder)
    first, end = readings[0], readings[-1]
    seconds = end.at_s - first.at_s
    archived, inserted = end.archived - first.archived, end.inserted - first.inserted
    played = end.played - first.played
    least = min(played, archived, inserted)
    report("P1", "played", played / seconds, "experiences/s")
    report("P1", "archived", archived / seconds, "experiences/s", distinct=distinct)
    report("P1", "inserted into the replay buffer", inserted / seconds, "experiences/s")
    peer = "Go in one process, no log (its own claim)"
    report(
        "P1", "live, the least of these", least / seconds, "experiences/s", peer, GO_IN_PROCESS, seconds=round(seconds)
    )
    costs = {name: 1e6 * (end.cpu_s[name] - first.cpu_s[name]) / max(1.0, least) for name in end.cpu_s}
    for name, cost in costs.items():
        report("P1", f"CPU of {name}" if name.startswith("this") else f"CPU of the {name}", cost, "µs/experience")
    used = sum(end.cpu_s.values()) - sum(first.cpu_s.values())
    report("P1", "cores used by all of it", used / seconds, "cores", cores=os.cpu_count())
    report("P1", "engine held back", 100 * live.held_s / seconds, "% of the time")
    draw(readings, costs, OUT / "pipeline.png")
    if not options.no_peers:
        theirs = measure_reverb(min(options.seconds, 20.0))
        report("P11", "live, engine to both sinks", least / seconds, "experiences/s", "dm-reverb on loopback", theirs)


if __name__ == "__main__":
    main()
