"""What the metrics say of a group."""

from numpy.random import default_rng
from random_chunks import random_chunk

from generals_collector.conversion import Converter, RawRecord
from generals_collector.observation import ACTION_KINDS, count_actions, observe
from generals_collector.tensorise import recipe
from generals_runtime import metrics
from generals_schemas.actions import DIRECTION_NAMES, decode
from generals_schemas.codec import decode_batch, encode_chunk


def metric(name: str, **labels: str) -> float:
    return metrics.default().registry.get_sample_value(name, labels) or 0.0


def test_actions_are_counted_by_kind_whatever_the_boards(seed: int) -> None:
    rng = default_rng(seed)
    converter = Converter(recipe(), "id")
    raws = [RawRecord("t", 0, i, 0, None, encode_chunk(random_chunk(rng))) for i in range(5)]
    converted = [converter(raw) for raw in raws]
    batches = [decode_batch(value) for one in converted for value in one.values]
    played = [player for one in converted for player in one.played]
    expected = dict.fromkeys(ACTION_KINDS, 0)
    for batch in batches:
        for action in batch.actions.tolist():
            move = decode(action, batch.width, batch.height)
            name = "pass" if move is None else DIRECTION_NAMES[move.direction] + "_split" * move.split
            expected[name] += 1
    assert dict(zip(ACTION_KINDS, count_actions(played).tolist(), strict=True)) == expected


def test_a_group_is_counted_and_rejected_chunks_are_none_of_it(seed: int) -> None:
    converter = Converter(recipe(), "id")
    chunk = random_chunk(default_rng(seed), players=2, ticks=9)
    good = converter(RawRecord("t", 0, 0, 0, None, encode_chunk(chunk)))
    before = metric("generals_chunks_total"), metric("generals_reward_count")
    packed_before = metric("generals_packed_bytes_total", record="experience_batch")
    observe([good, converter(RawRecord("t", 0, 1, 0, None, b"x")), good], 0.5)
    packed = metric("generals_packed_bytes_total", record="experience_batch") - packed_before
    assert packed == 2 * sum(map(len, good.values)), "a marker holds no boards"
    steps = good.experiences
    assert steps == sum(decode_batch(value).steps for value in good.values)
    assert metric("generals_chunks_total") - before[0] == 2
    assert metric("generals_reward_count") - before[1] == 2 * steps
    observe([converter(RawRecord("t", 0, 1, 0, None, b"x"))], 0.5)
    assert metric("generals_chunks_total") - before[0] == 2


def test_all_that_was_read_is_counted_with_the_rejected_and_the_empty() -> None:
    converter = Converter(recipe(), "id")
    values = [b"x", None, b"four"]
    observe([converter(RawRecord("read", 0, i, 0, None, value)) for i, value in enumerate(values)], 0.5)
    assert metric("generals_records_consumed_total", topic="read") == 3
    assert metric("generals_consumed_bytes_total", topic="read") == 5
