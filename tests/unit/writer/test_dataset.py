"""The archive as a torch dataset: every experience once, whoever reads it, with the values of the stream."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from simulated_archive import LOG, MemoryLog, life, run
from synthetic_play import play
from torch.utils.data import DataLoader

from generals_client.batch import Batch, flat
from generals_runtime.objects import open_store
from generals_schemas.codec import encode_batch
from generals_writer.archive import read_entries
from generals_writer.build import LogRecord
from generals_writer.dataset import ArchiveDataset, Tensors, _Pool

Key = tuple[float, ...]


@pytest.fixture
def archive(seed: int, tmp_path: Path) -> tuple[str, list[Batch]]:
    rng = default_rng(seed)
    batches = list(play(rng, games=3, chunks=4, ticks=8, side=(8, 10)))
    records = [LogRecord(n, 1_750_000_000_000 + n * 600_000, encode_batch(b)) for n, b in enumerate(batches)]
    store = open_store(tmp_path / "archive")
    run(life(store, MemoryLog(records), rng, "w"))
    return str(tmp_path / "archive"), [flat(batch) for batch in batches]


def rows_of(batches: list[Tensors]) -> list[Key]:
    """A fingerprint of each row, from every tensor of it."""
    rows = []
    for batch in batches:
        for i in range(len(batch["action"])):
            parts = [batch[name][i].double().sum().item() for name in sorted(batch)]
            weights = torch.arange(batch["state"][i].numel(), dtype=torch.double)
            parts.append((batch["state"][i].double().flatten() * weights).sum().item())
            parts.append((batch["next_state"][i].double().flatten() * weights).sum().item())
            rows.append(tuple(round(part, 3) for part in parts))
    return sorted(rows)


def as_tensors(batch: Batch) -> Tensors:
    names = ("state", "next_state", "action_mask", "next_action_mask", "action", "reward", "terminated", "truncated")
    return {name: torch.from_numpy(np.array(getattr(batch, name))) for name in (*names, "player", "tick")}


@pytest.mark.parametrize("order", ["log", "stored", "shuffled"])
def test_every_experience_comes_once_with_the_values_of_the_stream(
    archive: tuple[str, list[Batch]], order: str
) -> None:
    url, expected = archive
    found = list(ArchiveDataset(url, LOG.topic, batch_size=7, order=order, pool_rows=40))  # type: ignore[arg-type]
    assert rows_of(found) == rows_of([as_tensors(batch) for batch in expected])


def test_workers_and_ranks_share_the_archive_without_overlap(archive: tuple[str, list[Batch]]) -> None:
    url, expected = archive
    found: list[Tensors] = []
    plan = ArchiveDataset(url, LOG.topic).plan
    for rank in (0, 1):
        dataset = ArchiveDataset(url, batch_size=16, plan=plan, share=(rank, 2))
        found += list(DataLoader(dataset, batch_size=None, num_workers=2))
    assert rows_of(found) == rows_of([as_tensors(batch) for batch in expected])


def test_another_epoch_is_another_order_and_the_same_epoch_the_same(archive: tuple[str, list[Batch]]) -> None:
    url, _ = archive
    dataset = ArchiveDataset(url, LOG.topic, batch_size=10_000, masks=False)
    first = [batch["tick"].tolist() for batch in dataset]
    assert [batch["tick"].tolist() for batch in dataset] == first
    dataset.set_epoch(1)
    assert [batch["tick"].tolist() for batch in dataset] != first


def test_a_pool_holds_its_records_and_nothing_of_the_objects_they_were_in(seed: int, tmp_path: Path) -> None:
    rng, store, pool = default_rng(seed), open_store(tmp_path), _Pool()
    played = list(play(rng, games=2, chunks=3, ticks=8, side=(8, 10)))
    ticks = [np.arange(b.first_tick, b.first_tick + 9, dtype=np.float32)[:, None] for b in played]  # each goes on
    batches = [replace(b, scalar_names=("tick",), scalars=column) for b, column in zip(played, ticks, strict=True)]
    run(life(store, MemoryLog([LogRecord(n, 0, encode_batch(b)) for n, b in enumerate(batches)]), rng, "w"))
    for _, entry in read_entries(store, LOG.topic):
        pool.add(entry.batch)
    assert len(pool._records) == len(batches)
    for record in pool._records:
        for name in ("armies", "bits", "scalars", "actions", "rewards"):
            array = owner = getattr(record, name)
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            assert owner.base is None
            assert owner.nbytes == array.nbytes > 0


def test_an_empty_archive_gives_nothing(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    assert list(ArchiveDataset(str(tmp_path))) == []


def test_workers_share_what_there_was_though_a_writer_goes_on(seed: int, tmp_path: Path) -> None:
    rng = default_rng(seed)
    batches = list(play(rng, games=3, chunks=8, ticks=8, side=(8, 9)))
    records = [LogRecord(n, 1_750_000_000_000 + n * 600_000, encode_batch(b)) for n, b in enumerate(batches)]
    url, half = str(tmp_path / "archive"), len(records) // 2
    run(life(open_store(url), MemoryLog(records[:half]), rng, "w"))
    dataset = ArchiveDataset(url, LOG.topic, batch_size=16)
    workers = [ArchiveDataset(url, LOG.topic, batch_size=16, plan=dataset.plan, share=(n, 3)) for n in range(3)]
    found = list(workers[0])
    run(life(open_store(url), MemoryLog(records), rng, "w"))
    found += [batch for worker in workers[1:] for batch in worker]
    assert rows_of(found) == rows_of([as_tensors(flat(batch)) for batch in batches[:half]])
    dataset.set_epoch(1)
    assert rows_of(list(dataset)) == rows_of([as_tensors(flat(batch)) for batch in batches])


def test_ranks_that_would_each_list_the_archive_are_refused(archive: tuple[str, list[Batch]]) -> None:
    with pytest.raises(ValueError, match="one plan"):
        ArchiveDataset(archive[0], LOG.topic, share=(0, 2))
