"""A flat batch: N experiences of boards of one size, as numpy arrays.

Every array is made when it is first asked for; states are kept packed until then. A reader who only counts rewards pays
for nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generals_client.expand import expand, legal_actions
from generals_schemas.encodings import Encoding, get_encoding
from generals_schemas.records import ExperienceBatch

ShapeKey: TypeAlias = tuple[int, int, str, tuple[tuple[str, float], ...], tuple[str, ...], tuple[str, ...]]
"""Width, height, encoding with its parameters, planes, scalars."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Some steps of one record: `steps` are indices into the record's N steps, ascending."""

    record: ExperienceBatch
    steps: NDArray[np.int64]


class Batch:
    """N experiences. Axes: C channels, H W board, A = 8 * H * W + 1 actions.

    action: `[N]` i4.  reward: `[N]` f4.  terminated, truncated: `[N]` bool.
    player, tick, policy_version: `[N]` i4.  source_partition: `[N]` i4.  source_offset: `[N]` i8.
    log_prob: `[N]` f4, NaN where the behaviour policy gave none.

    With `n_step` above 1, `reward` is the discounted sum of the next n rewards and `next_state` what follows them;
    `terminated` and `truncated` say whether the game ends within them. A record knows nothing of the one after it, so
    near its end the sums are shorter: `horizon` says how long each is, and `bootstrap` what to multiply the value of
    `next_state` by (`discount ** horizon`, 0 if terminated). That is right at every length; a replay buffer that joins
    records gets full ones.
    """

    def __init__(self, segments: Sequence[Segment], *, n_step: int = 1, discount: float = 1.0) -> None:
        if not segments:
            raise ValueError("a batch needs at least one segment")
        self.discount = discount
        self._n_step = n_step
        self._segments = tuple(segments)
        self._lengths = [len(segment.steps) for segment in segments]
        self._count = sum(self._lengths)
        first = segments[0].record
        self.width, self.height = first.width, first.height
        self.encoding_name = first.encoding
        self.encoding_params = first.encoding_params
        self.planes = first.planes

    def __len__(self) -> int:
        return self._count

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self._segments

    @cached_property
    def encoding(self) -> Encoding:
        return get_encoding(self.encoding_name)

    @cached_property
    def action(self) -> NDArray[np.int32]:
        return self._gather("actions")

    @cached_property
    def reward(self) -> NDArray[np.float32]:
        return self._gather("rewards") if self._n_step == 1 else self._returns(self._n_step)

    @cached_property
    def terminated(self) -> NDArray[np.bool_]:
        return self._ends("terminated")

    @cached_property
    def truncated(self) -> NDArray[np.bool_]:
        return self._ends("truncated")

    @cached_property
    def horizon(self) -> NDArray[np.int32]:
        """`[N]`: how many rewards are summed; 1 unless `n_step` was asked for."""
        if self._n_step == 1:
            return np.ones(self._count, np.int32)
        left = [segment.record.steps - segment.steps for segment in self._segments]
        return np.concatenate(left).clip(max=self._n_step).astype(np.int32)

    @cached_property
    def player(self) -> NDArray[np.int32]:
        return self._repeat([segment.record.player for segment in self._segments], np.int32)

    @cached_property
    def tick(self) -> NDArray[np.int32]:
        """`[N]`: the clock before the step."""
        return np.concatenate([s.record.first_tick + s.steps for s in self._segments]).astype(np.int32)

    @cached_property
    def policy_version(self) -> NDArray[np.int32]:
        return self._repeat([segment.record.policy.version for segment in self._segments], np.int32)

    @cached_property
    def source_partition(self) -> NDArray[np.int32]:
        return self._repeat([segment.record.source.partition for segment in self._segments], np.int32)

    @cached_property
    def source_offset(self) -> NDArray[np.int64]:
        return self._repeat([segment.record.source.offset for segment in self._segments], np.int64)

    @cached_property
    def state(self) -> NDArray[Any]:
        """`[N, C, H, W]` float32 (float16 if the encoding says so)."""
        return self._expand(self._rows)

    @cached_property
    def next_state(self) -> NDArray[Any]:
        """`[N, C, H, W]`: the state after the step."""
        return self._expand(self._rows + self.horizon)

    @cached_property
    def action_mask(self) -> NDArray[np.bool_]:
        """`[N, A]` bool."""
        return self._legal(self._rows)

    @cached_property
    def next_action_mask(self) -> NDArray[np.bool_]:
        """`[N, A]` bool."""
        return self._legal(self._rows + self.horizon)

    @cached_property
    def bootstrap(self) -> NDArray[np.float32]:
        """`[N]`: what the value of `next_state` counts; 0 where the game ended for the player."""
        return np.where(self.terminated, 0.0, self.discount ** self.horizon.astype(np.float64)).astype(np.float32)

    @cached_property
    def log_prob(self) -> NDArray[np.float32]:
        return np.concatenate(
            [
                np.full(len(s.steps), np.nan, np.float32) if s.record.log_probs is None else s.record.log_probs[s.steps]
                for s in self._segments
            ]
        )

    @cached_property
    def game_id(self) -> NDArray[np.str_]:
        """`[N]` text."""
        return self._texts([segment.record.game_id for segment in self._segments])

    @cached_property
    def policy(self) -> NDArray[np.str_]:
        """`[N]` text: the name of the policy that acted."""
        return self._texts([segment.record.policy.name for segment in self._segments])

    @cached_property
    def reward_name(self) -> NDArray[np.str_]:
        """`[N]` text: which reward computed `reward`."""
        return self._texts([segment.record.reward for segment in self._segments])

    @cached_property
    def config_version(self) -> NDArray[np.str_]:
        """`[N]` text: the collector's configuration."""
        return self._texts([segment.record.config_version for segment in self._segments])

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """Of each experience, the packed row of its state; the state k steps later is k rows further."""
        starts = np.cumsum([0] + [segment.record.steps + 1 for segment in self._segments[:-1]])
        return np.concatenate([start + s.steps for start, s in zip(starts, self._segments, strict=True)])

    @cached_property
    def _packed(self) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.float32]]:
        records = [segment.record for segment in self._segments]
        return (
            np.concatenate([record.armies for record in records]),
            np.concatenate([record.bits for record in records]),
            np.concatenate([record.scalars for record in records]),
        )

    def _expand(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        armies, bits, scalars = self._packed
        return expand(
            self.encoding,
            armies=armies,
            bits=bits,
            scalars=scalars,
            rows=rows,
            width=self.width,
            height=self.height,
            params=self.encoding_params,
            planes=self.planes,
        )

    def _legal(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        armies, bits, _ = self._packed
        return legal_actions(
            armies=armies, bits=bits, rows=rows, width=self.width, height=self.height, planes=self.planes
        )

    def _gather(self, name: str) -> NDArray[Any]:
        return np.concatenate([getattr(segment.record, name)[segment.steps] for segment in self._segments])

    def _ends(self, end: str) -> NDArray[np.bool_]:
        """`[N]`: only the last record of a game has an end, so most batches have none."""
        ends = np.zeros(self._count, np.bool_)
        start = 0
        for segment, length in zip(self._segments, self._lengths, strict=True):
            if segment.record.end == end:
                reached = segment.steps + self.horizon[start : start + length]
                ends[start : start + length] = reached == segment.record.steps
            start += length
        return ends

    def _returns(self, n_step: int) -> NDArray[np.float32]:
        """`[N]`: discounted sums of up to `n_step` rewards, in float64."""
        sums = []
        for segment in self._segments:
            padded = np.concatenate([segment.record.rewards.astype(np.float64), np.zeros(n_step - 1)])
            windows = np.lib.stride_tricks.sliding_window_view(padded, n_step)[segment.steps]
            sums.append(windows @ self.discount ** np.arange(n_step))
        return np.concatenate(sums).astype(np.float32)

    def _repeat(self, values: list[int], dtype: Any) -> NDArray[Any]:
        return np.repeat(np.array(values, dtype), self._lengths)

    def _texts(self, values: list[str]) -> NDArray[np.str_]:
        return np.repeat(np.array(values, np.str_), self._lengths)


def shape_key(record: ExperienceBatch) -> ShapeKey:
    """Records with the same key may stand in one batch."""
    params = tuple(sorted(record.encoding_params.items()))
    return record.width, record.height, record.encoding, params, record.planes, record.scalar_names


def flat(record: ExperienceBatch) -> Batch:
    """All steps of one record as a batch."""
    return Batch([Segment(record, np.arange(record.steps))])
