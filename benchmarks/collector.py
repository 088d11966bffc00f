"""P4: experiences a second through one Faust collector process, the broker beside it on the same machine.
P5: bytes an experience takes in the experiences topic's log on disk.

Real play (expander against expander, 20 x 20, whole games) is put on the transitions topic first, in chunks of the
default length and in chunks of 64 ticks, which P5 is defined by; then the collector is started and the experiences
topic's end offsets are watched. The clock runs from the first experiences to the last, so that the start of the process
is not in it.

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

from confluent_kafka import Consumer, TopicPartition
from encode import chunks

from generals_collector.tensorise import steps_lived
from generals_engine.play_settings import CHUNK_TICKS
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import OrderedProducer, ensure_topics, make_consumer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_chunk
from generals_schemas.records import TransitionChunk
from generals_schemas.topics import TOPICS, Topics

PARTITIONS = 8
SHORT_TICKS = 64


def load(kafka: KafkaSettings, topic: str, some: list[TransitionChunk], rounds: int) -> tuple[int, int]:
    """Put the chunks on the topic `rounds` times over; how many experiences and batches will come of it."""
    values = [encode_chunk(chunk) for chunk in some]
    with OrderedProducer(kafka) as producer:
        for i in range(rounds * len(values)):
            producer.send(topic, i % PARTITIONS, some[i % len(some)].game_id.encode(), values[i % len(values)])
        producer.flush()
    lives = [steps for chunk in some for _, steps in steps_lived(chunk)]
    return rounds * sum(lives), rounds * len(lives)


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


def measure(kafka: KafkaSettings, topics: Topics, experiences: int, batches: int, limit_s: float = 300.0) -> float:
    """Experiences a second from the first tenth of the batches to the last one."""
    consumer = make_consumer(kafka, group_id="bench-watch")
    deadline = time.monotonic() + limit_s
    begun: tuple[float, int] | None = None
    try:
        while True:
            now, seen = time.monotonic(), ends(consumer, topics.experiences.name)
            if begun is None and seen >= batches // 10:
                begun = now, seen
            if seen >= batches and begun is not None:
                return experiences * (seen - begun[1]) / batches / (now - begun[0])
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
        some = whole_games(arguments.ticks // ticks, ticks)
        naive_topics = fresh_topics(kafka)
        count = load(kafka, naive_topics.transitions.name, some, arguments.rounds)
        with process([str(Path(__file__).with_name("naive_faust.py"))], kafka, naive_topics):
            peer = measure(kafka, naive_topics, *count)
        topics = fresh_topics(kafka)
        count = load(kafka, topics.transitions.name, some, arguments.rounds)
        with process(["-m", "generals_collector"], kafka, topics):
            rate = measure(kafka, topics, *count)
        name = f"one collector process, broker beside it, {ticks}-tick chunks"
        report("P4", name, rate, "experiences/s", "Faust, one event at a time", peer)
        folders = (broker.data_dir / "log").glob(f"{topics.experiences.name}-*")
        on_disk = sum(file.stat().st_size for folder in folders for file in folder.glob("*.log"))
        pair = 2 * 9 * 4 * some[0].width * some[0].height
        name = f"experiences log on disk, {ticks}-tick chunks"
        report("P5", name, on_disk / count[0], "bytes/experience", "two float32 states", pair, 1)


def whole_games(count: int, ticks: int) -> list[TransitionChunk]:
    """About `count` chunks of up to `ticks` ticks; those of games that are not over by then are left out."""
    some = chunks(count, ticks=ticks)
    ended = {chunk.game_id for chunk in some if chunk.final}
    return [chunk for chunk in some if chunk.game_id in ended]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=40_000, help="of real play; unfinished games are left out")
    parser.add_argument("--rounds", type=int, default=20, help="how often these are put on the topic")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(Path(folder)) as broker:
        run(broker, arguments)


if __name__ == "__main__":
    main()
