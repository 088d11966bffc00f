"""Somebody else's producer, which writes in transactions. Each leaves a mark in the log: an offset without a record."""

from collections.abc import Sequence

from confluent_kafka import Producer


def send_in_transactions(kafka: str, topic: str, transactions: Sequence[Sequence[bytes]]) -> None:
    """To partition 0, one transaction after another."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(20)
    for values in transactions:
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, b"game", partition=0)
        producer.commit_transaction(20)
