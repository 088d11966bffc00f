"""Records that went wrong: each is rejected with a reason, or what comes out of it is right."""

import resource
from collections import Counter

import numpy as np
import pytest
from experience_agreement import assert_agree
from experience_reference import experiences as reference_experiences
from mutations import mutate, originals
from numpy.random import default_rng

from generals_collector.conversion import Converter, RawRecord
from generals_collector.tensorise import recipe
from generals_schemas.codec import decode_batch, decode_chunk

MOST_MORE_MEMORY_KB = 300_000


def judge(converter: Converter, value: bytes) -> str:
    """The reason of the rejection, or "valid" if the experiences are those of the reference."""
    converted = converter(RawRecord("t", 0, 0, 0, None, value))
    batches = [decode_batch(one) for one in converted.values]
    if converted.rejected is not None:
        (marker,) = batches
        assert marker.rejected == converted.rejected.reason
        assert marker.steps == 0
        return converted.rejected.reason
    chunk = decode_chunk(value)
    if chunk.width * chunk.height * chunk.ticks <= 2000:
        assert_agree(batches, reference_experiences(chunk))
    assert all(np.isfinite(batch.rewards).all() for batch in batches)
    return "valid"


def fuzz(seed: int, count: int) -> Counter[str]:
    rng = default_rng(seed)
    values = originals(rng)
    converter = Converter(recipe(), "id")
    verdicts: Counter[str] = Counter()
    for _ in range(count):
        one, other = rng.integers(0, len(values), 2)
        verdicts[judge(converter, mutate(rng, values[one], values[other]))] += 1
    return verdicts


def test_mutated_records_are_rejected_with_a_reason_or_give_what_the_reference_gives(seed: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdicts = fuzz(seed, 2500)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MORE_MEMORY_KB
    wanted = ("valid", "checksum", "truncated", "malformed", "shape", "tiles", "terrain", "actions", "alive")
    assert set(wanted) <= set(verdicts), verdicts


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_mutated_records(seed: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdicts = fuzz(seed, 100_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MORE_MEMORY_KB
    assert verdicts.total() == 100_000
    assert verdicts["valid"] > 1000
