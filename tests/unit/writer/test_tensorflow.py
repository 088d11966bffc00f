"""TensorFlow's own reader, in an environment of its own, sees the values that were written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from synthetic_play import play

from generals_writer.formats import get_format
from generals_writer.formats.entries import Entry, archive_order

ENVIRONMENT = Path(__file__).parents[3] / ".benchmarks" / "tensorflow"
PROGRAM = """
import json, sys
import tensorflow as tf
features = {
    "game_id": tf.io.FixedLenFeature([], tf.string), "tick": tf.io.FixedLenFeature([], tf.int64),
    "action": tf.io.FixedLenFeature([], tf.int64), "reward": tf.io.FixedLenFeature([], tf.float32),
    "terminated": tf.io.FixedLenFeature([], tf.int64), "log_prob": tf.io.FixedLenFeature([], tf.float32, float("nan")),
    "armies": tf.io.FixedLenFeature([], tf.string), "planes": tf.io.FixedLenFeature([], tf.string),
    "next_armies": tf.io.FixedLenFeature([], tf.string, b""),
}
rows = tf.data.TFRecordDataset([sys.argv[1]], compression_type="GZIP").map(
    lambda record: tf.io.parse_single_example(record, features))
for row in rows.as_numpy_iterator():
    print(json.dumps({name: value.hex() if isinstance(value, bytes) else float(value) for name, value in row.items()}))
"""


def tensorflow_python() -> Path:
    """Made on first use; about 1.5 GB."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        ENVIRONMENT.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "tensorflow-cpu"], check=True)
    return python


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tensorflow_reads_every_value(seed: int, tmp_path: Path) -> None:
    batches = play(default_rng(seed), games=3, chunks=3, ticks=16)
    entries = [Entry(batch, n, 1_750_000_000_000) for n, batch in enumerate(batches)]
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(get_format("tfrecord").write(entries, {}))
    (tmp_path / "read.py").write_text(PROGRAM)
    command = [str(tensorflow_python()), str(tmp_path / "read.py"), str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in output.splitlines()]
    ordered = [entry.batch for entry in archive_order(entries)]
    assert [row["action"] for row in rows] == np.concatenate([b.actions for b in ordered]).tolist()
    assert [row["reward"] for row in rows] == np.concatenate([b.rewards for b in ordered]).tolist()
    assert [row["tick"] for row in rows] == [b.first_tick + i for b in ordered for i in range(b.steps)]
    assert [bytes.fromhex(row["game_id"]).decode() for row in rows] == [b.game_id for b in ordered for _ in b.actions]
    low = [(board & 255).astype(np.uint8).tobytes().hex() for b in ordered for board in b.armies[:-1]]
    assert [row["armies"] for row in rows] == low
    assert [row["planes"] for row in rows] == [planes.tobytes().hex() for b in ordered for planes in b.bits[:-1]]
    assert sum(bool(row["next_armies"]) for row in rows) == 3 * 2
    assert all(np.isnan(row["log_prob"]) for row in rows)
