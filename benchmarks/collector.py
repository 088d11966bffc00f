"""P4: experiences a second through one Faust collector process, the broker beside it on the same machine.
P5: bytes an experience takes in the experiences topic's log on disk.

Real play (expander against expander, 20 x 20, whole games, none twice: repeated play compresses away) is put on the
transitions topic first, in chunks of the default length and in chunks of 64 ticks, which P5 is defined by; then the
collector is started and the experiences topic's end offsets are watched. The clock runs from the first experiences to
the last, so that the start of the process is not in it.

The peer is a Faust agent as the guides write one, with our kernels: one event after the other, everything in the event
loop. It does not wait for delivery before it acknowledges, compresses nothing, and counts nothing.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition
from encode import played

from generals_collector.tensorise import steps_lived
from generals_engine.play_settings import CHUNK_TICKS
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import OrderedProducer, ensure_topics, make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_chunk
from generals_schemas.topics import TOPICS, Topics

PARTITIONS, SIDE = 8, 20
SHORT_TICKS = 64


class Play(NamedTuple):
    """Chunks of whole games, keyed by game, encoded; the experiences and batches that will come of them."""

    chunks: list[tuple[str, bytes]]
    experiences: int
    batches: int


def whole_games(ticks: int, chunk_ticks: int) -> Play:
    """About `ticks` ticks of play. Games that are not over by then are left out."""
    chunks: list[tuple[str, bytes]] = []
    steps: list[list[int]] = []
    ended: set[str] = set()
    left = ticks
    for chunk in played(ticks=chunk_ticks):
        chunks.append((chunk.game_id, encode_chunk(chunk)))
        steps.append([lived for _, lived in steps_lived(chunk)])
        if chunk.final:
            ended.add(chunk.game_id)
        left -= chunk.ticks
        if left <= 0:
            break
    kept = [i for i, (game_id, _) in enumerate(chunks) if game_id in ended]
    lives = [lived for i in kept for lived in steps[i]]
    return Play([chunks[i] for i in kept], sum(lives), len(lives))


def load(kafka: KafkaSettings, topic: str, play: Play) -> None:
    """Put the chunks on the topic."""
    with OrderedProducer(kafka) as producer:
        for i, (game_id, value) in enumerate(play.chunks):
            producer.send(topic, i % PARTITIONS, game_id.encode(), value)
        producer.flush()


def ends(consumer: Consumer, topic: str) -> int:
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    return sum(consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions)


@contextlib.contextmanager
def process(module: list[str], kafka: KafkaSettings, topics: Topics) -> Iterator[None]:
    prefix = topics.transitions.name.removesuffix(TOPICS.transitions.name)
    environment = {
        **os.environ,
        "GENERALS_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "GENERALS_KAFKA__TOPIC_PREFIX": prefix,
        "GENERALS_COLLECTOR__GROUP": f"{prefix}bench",
    }
    with subprocess.Popen([sys.executable, *module], env=environment, stdout=sys.stderr) as child:  # ours are figures
        try:
            yield
        finally:
            child.terminate()
            child.wait(30)


def measure(kafka: KafkaSettings, topics: Topics, play: Play, limit_s: float = 300.0) -> float:
    """Experiences a second from the first tenth of the batches to the last one."""
    batches = play.batches
    consumer = make_consumer(kafka, group_id="bench-watch")
    deadline = time.monotonic() + limit_s
    begun: tuple[float, int] | None = None
    try:
        while True:
            now, seen = time.monotonic(), ends(consumer, topics.experiences.name)
            if begun is None and seen >= batches // 10:
                begun = now, seen
            if seen >= batches and begun is not None:
                return play.experiences * (seen - begun[1]) / batches / (now - begun[0])
            if now > deadline:
                raise SystemExit(f"only {seen} of {batches} batches after {limit_s:.0f} s")
            time.sleep(0.05)
    finally:
        consumer.close()


def fresh_topics(kafka: KafkaSettings) -> Topics:
    topics = TOPICS.with_prefix(f"b{uuid.uuid4().hex[:8]}.").with_partitions(PARTITIONS)
    ensure_topics(kafka, topics)
    return topics


def report(row: str, name: str, value: float, unit: str, peer: str, peer_value: float, digits: int = 0) -> None:
    ratio = value / peer_value if row == "P4" else peer_value / value
    line = {"id": row, "name": name, "value": round(value, digits), "unit": unit, "peer": peer}
    print(json.dumps({**line, "peer_value": round(peer_value, digits), "ratio": round(ratio, 2)}), flush=True)


def run(broker: EmbeddedBroker, arguments: argparse.Namespace) -> None:
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    for ticks in dict.fromkeys((CHUNK_TICKS, SHORT_TICKS)):
        play = whole_games(arguments.ticks, ticks)
        naive_topics = fresh_topics(kafka)
        load(kafka, naive_topics.transitions.name, play)
        with process([str(Path(__file__).with_name("naive_faust.py"))], kafka, naive_topics):
            peer = measure(kafka, naive_topics, play)
        topics = fresh_topics(kafka)
        load(kafka, topics.transitions.name, play)
        with process(["-m", "generals_collector"], kafka, topics):
            rate = measure(kafka, topics, play)
        name = f"one collector process, broker beside it, {ticks}-tick chunks"
        report("P4", name, rate, "experiences/s", "Faust, one event at a time", peer)
        folders = (broker.data_dir / "log").glob(f"{topics.experiences.name}-*")
        on_disk = sum(file.stat().st_size for folder in folders for file in folder.glob("*.log"))
        pair = 2 * 9 * 4 * SIDE * SIDE
        name = f"experiences log on disk, {ticks}-tick chunks"
        report("P5", name, on_disk / play.experiences, "bytes/experience", "two float32 states", pair, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=800_000, help="of real play; unfinished games are left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(Path(folder)) as broker:
        run(broker, arguments)


if __name__ == "__main__":
    main()
