"""A batch's fields and arrays are the same whether they come from its record or from the batch itself."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng
from synthetic_play import play

from generals_schemas.batch_fields import arrays_of, batch_fields, fields_of, unpack_arrays, unpack_batch
from generals_schemas.codec import encode_batch
from generals_schemas.errors import BadRecord
from generals_schemas.records import ExperienceBatch

OF_THE_BLOCK = {"codec", "arrays", "checksum"}


@pytest.fixture
def batches(seed: int) -> list[ExperienceBatch]:
    """With and without log-probabilities and scalars, armies of both widths."""
    rng = default_rng(seed)
    return [
        replace(
            batch,
            armies=batch.armies.astype(np.uint32) if n % 2 else batch.armies,
            log_probs=rng.random(batch.steps, np.float32) if n % 3 else None,
            scalars=rng.random((batch.steps + 1, n % 4), np.float32),
            scalar_names=tuple(f"s{i}" for i in range(n % 4)),
        )
        for n, batch in enumerate(play(rng, games=3, chunks=2, ticks=8))
    ]


def test_a_batch_has_the_fields_of_its_record(batches: list[ExperienceBatch]) -> None:
    for batch in batches:
        found = batch_fields(encode_batch(batch))
        assert fields_of(batch) == {name: value for name, value in found.items() if name not in OF_THE_BLOCK}


def test_a_batch_has_the_arrays_of_its_record(batches: list[ExperienceBatch]) -> None:
    for batch in batches:
        given, found = arrays_of(batch), unpack_arrays(batch_fields(encode_batch(batch)))
        assert list(found) == list(given)
        for name, array in found.items():
            assert array.dtype == given[name].dtype
            assert not array.flags.writeable
            np.testing.assert_array_equal(array, given[name])


def test_a_batch_made_of_its_fields_encodes_as_before(batches: list[ExperienceBatch]) -> None:
    for batch in batches:
        assert encode_batch(unpack_batch(batch_fields(encode_batch(batch)))) == encode_batch(batch)


def test_arrays_of_another_size_than_the_fields_say_are_refused(batches: list[ExperienceBatch]) -> None:
    fields = batch_fields(encode_batch(batches[0]))
    with pytest.raises(BadRecord, match="the fields say"):
        unpack_arrays({**fields, "steps": fields["steps"] + 1})
