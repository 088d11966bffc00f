"""An archive as a `torch.utils.data.IterableDataset`. Needs torch, which the writer itself does not.

    dataset = ArchiveDataset("archive", "generals.experiences", batch_size=256)
    for batch in DataLoader(dataset, batch_size=None, num_workers=2):
        batch["state"], batch["action"], batch["reward"], batch["next_state"], …

Workers, and ranks by `share`, read different objects of one plan: what the archive held when the dataset was made or
its epoch was set. Ranks have to be given the same one, for a writer may be at work:

    plan = dataset.plan if rank == 0 else None          # … and broadcast it: it is plain data
    dataset = ArchiveDataset("archive", batch_size=256, plan=plan, share=(rank, world))

Shuffled: objects in random order, and rows within a pool of each
shape of board; all pools together hold `pool_rows` rows, about 1 kB each.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from generals_client.batch import shape_key
from generals_client.expand import expand, legal_actions
from generals_runtime.objects import open_store
from generals_schemas.encodings import get_encoding
from generals_schemas.records import ExperienceBatch
from generals_writer.reading import ALL, Order, Plan, Wanted, make_plan, read_plan

POOL_ROWS = 200_000
Tensors = dict[str, torch.Tensor]


class ArchiveDataset(IterableDataset[Tensors]):
    """Batches of tensors: `state`, `next_state` `[N, C, H, W]`, `action_mask`, `next_action_mask` `[N, A]`, and
    `action`, `reward`, `terminated`, `truncated`, `player`, `tick` `[N]`.

    masks: leave them out if they are not needed; they are an eighth of the work.  share: (rank, world size).
    plan: what to read, instead of `topic`, `order` and `wanted`.
    The seed of an epoch is `seed + epoch`; `set_epoch` before each.

    Raises:
        ValueError: ranks without a plan: each would list another archive.
    """

    def __init__(
        self,
        url: str,
        topic: str | None = None,
        *,
        batch_size: int = 256,
        order: Order = "shuffled",
        seed: int = 0,
        wanted: Wanted = ALL,
        plan: Plan | None = None,
        share: tuple[int, int] = (0, 1),
        pool_rows: int = POOL_ROWS,
        masks: bool = True,
    ) -> None:
        super().__init__()
        if share[1] > 1 and plan is None:
            raise ValueError("ranks read different parts of one plan: give each rank that of rank 0, `dataset.plan`")
        self._url = url
        self._batch_size = batch_size
        self._seed = seed
        self._list: Callable[[], Plan] | None = None
        if plan is None:
            self._list = partial(_listed, url, topic, wanted, order)
            plan = self._list()
        self.plan = plan
        self._share = share
        self._pool_rows = pool_rows
        self._masks = masks
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Another order, and what the archive holds now, unless a plan was given.

        Workers that live on between epochs do not see it: leave `persistent_workers` off.
        """
        self._epoch = epoch
        if self._list is not None:
            self.plan = self._list()

    def __iter__(self) -> Iterator[Tensors]:
        worker = get_worker_info()
        rank, world = self._share
        if worker is not None:
            rank, world = rank * worker.num_workers + worker.id, world * worker.num_workers
        seed = self._seed + self._epoch
        rng = np.random.default_rng([seed, rank]) if self.plan.order == "shuffled" else None
        entries = read_plan(open_store(self._url), self.plan, seed=seed, share=(rank, world))
        pools: dict[tuple[Any, ...], _Pool] = {}
        rows = 0
        for _, entry in entries:
            pools.setdefault(shape_key(entry.batch), _Pool()).add(entry.batch)
            rows += entry.steps
            if rows >= self._pool_rows:  # the fullest gives way
                fullest = pools.pop(max(pools, key=lambda key: pools[key].steps))
                rows -= fullest.steps
                yield from fullest.batches(self._batch_size, rng, masks=self._masks)
        for pool in pools.values():
            yield from pool.batches(self._batch_size, rng, masks=self._masks)


def _listed(url: str, topic: str | None, wanted: Wanted, order: Order) -> Plan:
    return make_plan(open_store(url), topic, wanted=wanted, order=order)


class _Pool:
    """Records of one shape, their states side by side."""

    def __init__(self) -> None:
        self._records: list[ExperienceBatch] = []
        self.steps = 0

    def add(self, record: ExperienceBatch) -> None:
        # Copies: what an object was read into is as large as hundreds of records, and would stay for one of them.
        own = {name: getattr(record, name).copy() for name in ("bits", "scalars", "actions", "rewards")}
        self._records.append(replace(record, **own, log_probs=None))
        self.steps += record.steps

    def batches(self, size: int, rng: np.random.Generator | None, *, masks: bool) -> Iterator[Tensors]:
        records = self._records
        armies = np.concatenate([record.armies for record in records])
        bits = np.concatenate([record.bits for record in records])
        scalars = np.concatenate([record.scalars for record in records])
        columns = _columns(records)
        # The state of step i of record r stands r rows further than i steps: each record has one state more than steps.
        rows = np.arange(self.steps) + np.repeat(np.arange(len(records)), [record.steps for record in records])
        order = np.arange(self.steps) if rng is None else rng.permutation(self.steps)
        first = records[0]
        encoding = get_encoding(first.encoding)
        board: dict[str, Any] = {"width": first.width, "height": first.height, "planes": first.planes}
        packed: dict[str, Any] = {"armies": armies, "bits": bits, **board}
        for start in range(0, self.steps, size):
            chosen = order[start : start + size]
            found = {name: column[chosen] for name, column in columns.items()}
            for prefix, at in (("", rows[chosen]), ("next_", rows[chosen] + 1)):
                found[f"{prefix}state"] = expand(
                    encoding, scalars=scalars, rows=at, params=first.encoding_params, **packed
                )
                if masks:
                    found[f"{prefix}action_mask"] = legal_actions(rows=at, **packed)
            yield {name: torch.from_numpy(array) for name, array in found.items()}


def _columns(records: list[ExperienceBatch]) -> dict[str, NDArray[Any]]:
    steps = [record.steps for record in records]
    last = np.cumsum(steps) - 1
    ends = {}
    for name in ("terminated", "truncated"):
        ends[name] = np.zeros(int(last[-1]) + 1, np.bool_)
        ends[name][last] = [record.end == name for record in records]
    return {
        "action": np.concatenate([record.actions for record in records]).astype(np.int64),
        "reward": np.concatenate([record.rewards for record in records]),
        "player": np.repeat([record.player for record in records], steps),
        "tick": np.concatenate([record.first_tick + np.arange(record.steps) for record in records]),
        **ends,
    }
