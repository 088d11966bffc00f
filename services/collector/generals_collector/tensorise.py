"""One chunk in, the experiences of each of its players out: the collector's whole work, without Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from generals_collector.features import PLANES, Feature, check_features, check_memory, extra_planes, scalars
from generals_collector.rewards import Facts, Reward, gather_facts, get_reward
from generals_collector.rewards.declaration import Scores
from generals_collector.survey import survey
from generals_collector.validation import validate, validate_rewards
from generals_collector.views import PlayerView, player_views
from generals_schemas.bitboards import dilate_rows
from generals_schemas.encodings import BASE_PLANES, Encoding, get_encoding
from generals_schemas.records import End, ExperienceBatch, Source, TransitionChunk

OWN = BASE_PLANES.index("own")


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How experiences are made: an encoding, a reward, their parameters. Made by `recipe`, once a configuration.

    encoding_params, reward_params: those that differ from the defaults.
    features: all of the encoding's.  weights: all of the reward's, in order.
    version: a short hash of the configuration, written into every batch.
    """

    encoding: Encoding
    encoding_params: Mapping[str, float]
    features: Mapping[str, float]
    reward: Reward
    reward_params: Mapping[str, float]
    weights: NDArray[np.float64]
    version: str = ""


def recipe(
    *,
    encoding: str = "nine_planes",
    encoding_params: Mapping[str, float] | None = None,
    reward: str = "standard",
    reward_params: Mapping[str, float] | None = None,
    version: str = "",
) -> Recipe:
    """The recipe of a configuration.

    Raises:
        KeyError: no such encoding or reward.
        ValueError: a parameter that these do not have, or that is not finite.
    """
    chosen, scoring = get_encoding(encoding), get_reward(reward)
    overrides, weights = dict(encoding_params or {}), dict(reward_params or {})
    check_features(chosen)
    complete = chosen.with_params(overrides)
    for name, value in complete.items():
        if not np.isfinite(value):
            raise ValueError(f"encoding {encoding}: parameter {name} is {value}, must be a finite number")
    return Recipe(
        encoding=chosen,
        encoding_params={k: float(v) for k, v in sorted(overrides.items()) if v != chosen.params[k]},
        features=complete,
        reward=scoring,
        weights=scoring.parameters(weights),
        reward_params=scoring.changed(weights),
        version=version,
    )


def experiences(chunk: TransitionChunk, source: Source, how: Recipe) -> list[ExperienceBatch]:
    """Validate a decoded chunk and make its batches: one for each player alive before its first tick, in order.

    `source`: the chunk's coordinates; index and count are set here.

    Raises:
        BadRecord: the chunk, or a reward that comes out of it, is not allowed.
    """
    validate(chunk)
    check_memory(how.encoding, chunk)
    batches = tensorise(chunk, source, how)
    for batch in batches:
        validate_rewards(batch)
    return batches


def tensorise(chunk: TransitionChunk, source: Source, how: Recipe) -> list[ExperienceBatch]:
    """As `experiences`, for a chunk that is known to be valid."""
    found = survey(chunk)
    facts = gather_facts(chunk, found)
    lives = steps_lived(chunk)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it, validate_rewards rejects
        columns = _Columns(chunk, how.reward.evaluate(facts, how.weights))
    views = player_views(chunk, found, lives, len(extra_planes(how.encoding)))
    batches = []
    for index, (player, steps) in enumerate(lives):
        state = _state(chunk, views[index], facts, player, how)
        batches.append(_batch(chunk, state, columns, player, steps, how, _place(source, index, len(lives))))
    return batches


def steps_lived(chunk: TransitionChunk) -> list[tuple[int, int]]:
    """(player, N) of each player alive before the first tick: N counts the tick in which it dies, if it does."""
    first, last = int(chunk.alive[0]), int(chunk.alive[-1])
    lives = []
    for player in range(chunk.players):
        bit = 1 << player
        if not first & bit:
            continue
        steps = chunk.ticks if last & bit else int(np.argmin(chunk.alive & bit))
        lives.append((player, steps))
    return lives


def _place(source: Source, index: int, count: int) -> Source:
    return Source(source.topic, source.topic_id, source.partition, source.offset, index, count)


class _State(NamedTuple):
    view: PlayerView
    scalars: NDArray[np.float32]


def _state(chunk: TransitionChunk, view: PlayerView, facts: Facts, player: int, how: Recipe) -> _State:
    """The packed states of a player, with the encoding's own planes and scalars."""
    more = extra_planes(how.encoding)
    if not more and not how.encoding.scalars:
        return _State(view, np.empty((len(view.armies), 0), np.float32))
    count = chunk.width * chunk.height
    base = len(view.planes)
    seen = dilate_rows(view.bits[:, OWN], chunk.width, chunk.height)
    visible = np.unpackbits(seen, axis=-1, count=count, bitorder="little").view(np.bool_)
    feature = Feature(chunk, facts, player, visible, how.features)
    for k, name in enumerate(more):
        view.bits[:, base + k] = np.packbits(PLANES[name](feature), axis=-1, bitorder="little")
    return _State(PlayerView((*view.planes, *more), view.armies, view.bits), scalars(how.encoding, feature))


class _Columns:
    """A chunk's `[T, P]` arrays turned to `[P, T]`, so that a player's are one piece."""

    def __init__(self, chunk: TransitionChunk, scores: Scores) -> None:
        self.actions = np.ascontiguousarray(chunk.actions.T)
        self.rewards = scores.T.astype(np.float32, order="C")
        self.log_probs = None if chunk.log_probs is None else np.ascontiguousarray(chunk.log_probs.T)


def _batch(
    chunk: TransitionChunk,
    state: _State,
    columns: _Columns,
    player: int,
    steps: int,
    how: Recipe,
    source: Source,
) -> ExperienceBatch:
    return ExperienceBatch(
        game_id=chunk.game_id,
        chunk=chunk.chunk,
        player=player,
        first_tick=chunk.first_tick,
        width=chunk.width,
        height=chunk.height,
        encoding=how.encoding.name,
        encoding_params=dict(how.encoding_params),
        reward=how.reward.name,
        reward_params=dict(how.reward_params),
        policy=chunk.policies[player],
        config_version=how.version,
        planes=state.view.planes,
        scalar_names=how.encoding.scalars,
        armies=state.view.armies,
        bits=state.view.bits,
        scalars=state.scalars,
        actions=columns.actions[player, :steps],
        rewards=columns.rewards[player, :steps],
        log_probs=None if columns.log_probs is None else columns.log_probs[player, :steps],
        end=_end(chunk, player, steps),
        source=source,
    )


def _end(chunk: TransitionChunk, player: int, steps: int) -> End:
    died = not (int(chunk.alive[steps]) >> player) & 1
    if died:
        return "terminated"
    if chunk.outcome is None:
        return "none"
    return "truncated" if chunk.outcome.truncated else "terminated"
