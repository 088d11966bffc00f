"""The peer of P4: an agent as the guides write one. Not run by itself."""

import os
import tempfile
import warnings

import faust
from confluent_kafka import Producer

from generals_collector.app import raw_record
from generals_collector.conversion import Converter
from generals_collector.tensorise import recipe
from generals_schemas.topics import TOPICS


def main() -> None:
    prefix, servers = os.environ["GENERALS_KAFKA__TOPIC_PREFIX"], os.environ["GENERALS_KAFKA__BOOTSTRAP_SERVERS"]
    folder = tempfile.TemporaryDirectory()
    app = faust.App(
        f"{prefix}naive", broker=f"kafka://{servers}", store="memory://", web_enabled=False, datadir=folder.name
    )
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 20})
    convert = Converter(recipe(), "naive")

    @app.agent(app.topic(prefix + TOPICS.transitions.name, key_serializer="raw", value_serializer="raw"))
    async def collect(stream: faust.StreamT) -> None:
        async for event in stream.events():
            raw = raw_record(event.message)
            for value in convert(raw).values:
                producer.produce(prefix + TOPICS.experiences.name, value, raw.key, partition=raw.partition)
            producer.poll(0)

    @app.timer(0.1)
    async def poll() -> None:
        producer.poll(0)

    faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
