"""P10: ten consumer groups at once on one topic, the sum over the groups of experiences a second.

Counted are distinct experiences (game, player, tick) handed on by `ExperienceStream` in batches of 256: records are
fetched, checked, decompressed, deduplicated, grouped; arrays of actions, rewards and flags are made. States stay packed
(P6 measures their expansion). Each group is a process of its own, as ten users would have; the clock runs
from the moment when all ten begin to connect until the last has reached the end. Broker and readers share the machine.

The topic holds real play (expander against expander, 20 x 20), written as collectors write, `--copies` times under
other game ids. The peer is ten groups of plain consumers that only fetch: the same clock, nothing decoded. The two take
turns, and the best round of each counts.
"""

import argparse
import itertools
import json
import multiprocessing as mp
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from confluent_kafka import Consumer, KafkaError
from real_play import play

from generals_client import ExperienceStream
from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import BATCH_PRODUCER, ensure_topics, make_producer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch, Source
from generals_schemas.topics import TOPICS

TOPIC = TOPICS.experiences.name
PARTITIONS = 8


def records(experiences: int) -> list[ExperienceBatch]:
    """At least so many experiences of real play."""
    found: list[ExperienceBatch] = []
    steps = 0
    for batch in play(side=20, games=16):
        found.append(batch)
        steps += batch.steps
        if steps >= experiences:
            return found
    return found


def fill(settings: KafkaSettings, played: list[ExperienceBatch], copies: int) -> tuple[int, int]:
    """Write the topic; (experiences, records)."""
    ensure_topics(settings, TOPICS.with_partitions(PARTITIONS))
    producer = make_producer(settings, overrides=BATCH_PRODUCER)
    offsets = [itertools.count() for _ in range(PARTITIONS)]
    for copy in range(copies):
        for batch in played:
            partition = hash((batch.game_id, copy)) % PARTITIONS
            source = Source("generals.transitions", "bench", partition, next(offsets[partition]), 0, 1)
            record = encode_batch(replace(batch, game_id=f"{batch.game_id}-{copy}", source=source))
            while True:
                try:
                    producer.produce(TOPIC, record, partition=partition)
                except BufferError:
                    producer.poll(0.05)
                else:
                    break
    if producer.flush(60):
        raise RuntimeError("the topic could not be written")
    return copies * sum(batch.steps for batch in played), copies * len(played)


def read(servers: str, group: str, ready: Barrier, found: "Queue[int]") -> None:
    """A group of `ExperienceStream`: distinct experiences handed on."""
    ready.wait()
    handed, seen = 0, set()
    with ExperienceStream(bootstrap_servers=servers, group=group, batch_size=256) as stream:
        for batch in stream:
            handed += len(batch.action) and len(batch.reward) and len(batch.terminated) and len(batch.truncated)
            seen.update(
                (s.record.game_id, s.record.player, s.record.first_tick, s.record.steps) for s in batch.segments
            )
    distinct = sum(steps for _, _, _, steps in seen)
    if distinct != handed:
        raise RuntimeError(f"{handed} experiences handed on, {distinct} distinct")
    found.put(handed)


def fetch(servers: str, group: str, ready: Barrier, found: "Queue[int]") -> None:
    """A group that only fetches: records."""
    ready.wait()
    config = {"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer({**config, "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.subscribe([TOPIC])
    count, ended = 0, 0
    while ended < PARTITIONS:
        for message in consumer.consume(512, 0.2):
            error = message.error()
            if error is None:
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
    consumer.close()
    found.put(count)


def together(work: Callable[..., None], servers: str, name: str, groups: int, expected: int) -> float:
    """Seconds until all groups have read everything."""
    context = mp.get_context("spawn")
    ready, found = context.Barrier(groups + 1), context.Queue()
    readers = [context.Process(target=work, args=(servers, f"{name}-{n}", ready, found)) for n in range(groups)]
    for reader in readers:
        reader.start()
    ready.wait()
    start = time.perf_counter()
    counts = [found.get(timeout=600) for _ in readers]
    took = time.perf_counter() - start
    for reader in readers:
        reader.join()
    if counts != [expected] * groups:
        raise RuntimeError(f"{name}: the groups read {counts}, the topic holds {expected}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10)
    parser.add_argument("--experiences", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    played = records(options.experiences)
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(Path(folder)) as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        experiences, count = fill(settings, played, options.copies)
        servers, groups = broker.bootstrap_servers, options.groups
        plain = ours = alone = 0.0
        for turn in range(options.rounds):
            plain = max(plain, groups * experiences / together(fetch, servers, f"plain-{turn}", groups, count))
            ours = max(ours, groups * experiences / together(read, servers, f"stream-{turn}", groups, experiences))
            alone = max(alone, experiences / together(read, servers, f"alone-{turn}", 1, experiences))
    for name, value in ((f"{groups} groups, summed", ours), ("one group alone", alone)):
        line = {"id": "P10", "name": name, "value": round(value), "unit": "experiences/s"}
        peer = {
            "peer": f"{groups} groups that only fetch",
            "peer_value": round(plain),
            "ratio": round(value / plain, 2),
        }
        print(json.dumps({**line, **peer, "topic_experiences": experiences}), flush=True)


if __name__ == "__main__":
    main()
