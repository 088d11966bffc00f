"""The topics as they are on the cluster, and how far groups are behind."""

from dataclasses import asdict, dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from generals_console.ranges import Range, whole_log
from generals_runtime.kafka import KafkaUnavailable, make_admin, make_consumer, patiently
from generals_runtime.settings import KafkaSettings

TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the contract as it is on the cluster; None where it does not exist."""

    name: str
    purpose: str
    partitions: int | None
    records: int | None


@dataclass(frozen=True, slots=True)
class GroupLag:
    """How far a group is behind in one partition. `committed` is None if it has committed nothing."""

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


def list_topics(kafka: KafkaSettings) -> list[TopicState]:
    """The five topics, those that are missing too."""
    consumer = make_consumer(kafka, group_id="generals-console")
    try:
        present = patiently(lambda timeout_s: consumer.list_topics(timeout=timeout_s), "the topics").topics
        states = []
        for spec in kafka.topics():
            ranges = whole_log(consumer, spec.name) if spec.name in present else None
            states.append(
                TopicState(
                    spec.name,
                    spec.purpose,
                    len(ranges) if ranges is not None else None,
                    sum(map(len, ranges.values())) if ranges is not None else None,
                )
            )
    finally:
        consumer.close()
    return states


def group_lags(kafka: KafkaSettings) -> list[GroupLag]:
    """The lag of every group on the deployment's topics."""
    admin = make_admin(kafka)
    names = {spec.name for spec in kafka.topics()}
    consumer = make_consumer(kafka, group_id="generals-console")
    ends: dict[str, dict[int, Range]] = {}
    lags = []
    try:
        for group in _groups(admin):
            for tp in _offsets(admin, group):
                if tp.topic not in names:
                    continue
                if tp.topic not in ends:
                    ends[tp.topic] = whole_log(consumer, tp.topic)
                span = ends[tp.topic][tp.partition]
                at = tp.offset if tp.offset >= 0 else None
                behind = max(0, span.end - (at if at is not None else span.first))
                lags.append(GroupLag(group, tp.topic, tp.partition, at, span.end, behind))
    finally:
        consumer.close()
    return sorted(lags, key=lambda lag: (lag.group, lag.topic, lag.partition))


def lag_of(kafka: KafkaSettings, groups: set[str]) -> int | None:
    """Records that these groups have not committed; None before each of them has committed something."""
    lags = [lag for lag in group_lags(kafka) if lag.group in groups]
    return sum(lag.lag for lag in lags) if {lag.group for lag in lags} == groups else None


def _groups(admin: AdminClient) -> list[str]:
    try:
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnavailable(f"listing the consumer groups: {_reason(error)}") from error
    return sorted(group.group_id for group in listed.valid)


def _offsets(admin: AdminClient, group: str) -> list[TopicPartition]:
    futures = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_S)
    try:
        found = futures[group].result(TIMEOUT_S).topic_partitions
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnavailable(f"reading the offsets of group {group}: {_reason(error)}") from error
    return list(found or [])


def _reason(error: KafkaException | TimeoutError) -> str:
    return error.args[0].str() if isinstance(error, KafkaException) else f"no answer within {TIMEOUT_S:g} s"


def as_json(rows: list[TopicState] | list[GroupLag]) -> list[dict[str, object]]:
    """The rows as plain objects."""
    return [asdict(row) for row in rows]
