"""A real Kafka of several brokers on this machine, of which any one may be struck, for chaos and for tests."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from generals_runtime.broker import HOST, EmbeddedBroker, free_port, new_cluster_id

REPLICAS = 3


@contextmanager
def embedded_cluster(folder: Path, brokers: int) -> Iterator[list[EmbeddedBroker]]:
    """Running brokers with their data in `folder`. Each of several is a controller, too.

    What Kafka keeps for itself has a replica on up to three of them, and of three replicas two must have what is
    acknowledged. For topics see `replication_factor` of the settings.
    """
    cluster_id = new_cluster_id()
    ports = {number: (free_port(), free_port()) for number in range(1, brokers + 1)}
    voters = ",".join(f"{number}@{HOST}:{controller}" for number, (_, controller) in ports.items())
    replicas = min(REPLICAS, brokers)
    in_sync = "2" if replicas >= REPLICAS else "1"
    with ExitStack() as stack:
        made = []
        for number, (port, controller) in ports.items():
            settings = {
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": f"BROKER://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
                "offsets.topic.replication.factor": str(replicas),
                "transaction.state.log.replication.factor": str(replicas),
                "transaction.state.log.min.isr": in_sync,
                "share.coordinator.state.topic.replication.factor": str(replicas),
                "share.coordinator.state.topic.min.isr": in_sync,
                "min.insync.replicas": in_sync,
            }
            heap = "768m" if brokers == 1 else "512m"
            broker = EmbeddedBroker(
                folder / f"broker-{number}", port=port, heap=heap, cluster_id=cluster_id, settings=settings
            )
            stack.callback(broker.kill)
            made.append(broker)
        with ThreadPoolExecutor(brokers) as pool:  # none answers before most of them are there
            list(pool.map(EmbeddedBroker.start, made))
        yield made


def bootstrap_servers(brokers: list[EmbeddedBroker]) -> str:
    """What a client is told."""
    return ",".join(broker.bootstrap_servers for broker in brokers)
