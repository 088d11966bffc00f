"""A Kafka of three brokers, each also a controller, so that any of them may be killed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from generals_runtime.broker import EmbeddedBroker, free_port, new_cluster_id

BROKERS = 3
_HOST = "127.0.0.1"


@contextmanager
def three_brokers(folder: Path) -> Iterator[list[EmbeddedBroker]]:
    """Running brokers; internal topics are on all three, two of which must have what is acknowledged."""
    cluster_id = new_cluster_id()
    ports = [(free_port(), free_port()) for _ in range(BROKERS)]
    voters = ",".join(f"{number}@{_HOST}:{controller}" for number, (_, controller) in enumerate(ports, start=1))
    brokers = [
        EmbeddedBroker(
            folder / f"kafka-{number}",
            port=port,
            heap="384m",
            cluster_id=cluster_id,
            settings={
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": f"BROKER://{_HOST}:{port},CONTROLLER://{_HOST}:{controller}",
                "offsets.topic.replication.factor": "3",
                "transaction.state.log.replication.factor": "3",
                "min.insync.replicas": "2",
            },
        )
        for number, (port, controller) in enumerate(ports, start=1)
    ]
    try:
        with ThreadPoolExecutor(BROKERS) as pool:  # none answers before a second one is there
            list(pool.map(EmbeddedBroker.start, brokers))
        yield brokers
    finally:
        for broker in brokers:
            broker.kill()
