"""Made-up play that looks like real play: boards that change little from tick to tick, fog, growth, random map sizes.

A simplified game (no swamp, no teams, two players, both expanders) written for tests of storage and transport only.
"""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from generals_schemas.actions import pass_action
from generals_schemas.records import ExperienceBatch, PolicyRef, Source

PLANES = ("own", "enemy", "city", "mountain")
Board = NDArray[np.int64]


class Game:
    """One game: `owner` and `armies` `[H, W]`, stepped by two greedy players."""

    def __init__(self, rng: Generator, game_id: str, width: int, height: int) -> None:
        self.rng, self.game_id, self.width, self.height = rng, game_id, width, height
        self.tick = 0
        self.chunk = 0
        draw = rng.random((height, width))
        self.mountain = draw < 0.18
        self.city = (draw > 0.97) & ~self.mountain
        self.owner: Board = np.full((height, width), -1)
        self.armies: Board = np.where(self.city, rng.integers(40, 51, (height, width)), 0)
        free = np.flatnonzero(~self.mountain & ~self.city)
        self.generals = rng.choice(free, 2, replace=False)
        self.owner.flat[self.generals] = (0, 1)
        self.armies.flat[self.generals] = 1

    def step(self) -> list[int]:
        """Play a tick; the players' actions."""
        actions = [self._act(player) for player in (0, 1)]
        self.tick += 1
        if self.tick % 2 == 0:
            grows = self.city & (self.owner >= 0)
            grows.flat[self.generals] = True
            self.armies[grows] += 1
        if self.tick % 50 == 0:
            self.armies[self.owner >= 0] += 1
        return actions

    def _act(self, player: int) -> int:
        height, width = self.owner.shape
        mine = (self.owner == player) & (self.armies > 1)
        score = np.full((height, width, 4), -np.inf)
        for direction, (dy, dx) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            to = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
            at = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
            takes = self.armies[at] - 1 > self.armies[to]
            value = np.where(self.owner[to] == player, -5.0, np.where(takes, 10.0 + 5 * (self.owner[to] >= 0), -20.0))
            value = value + np.log(self.armies[at].clip(1)) + self.rng.random(value.shape)
            score[(*at, direction)] = np.where(mine[at] & ~self.mountain[to], value, -np.inf)
        best = int(score.argmax())
        if not np.isfinite(score.flat[best]):
            return pass_action(width, height)
        y, x, direction = np.unravel_index(best, score.shape)
        dy, dx = ((-1, 0), (1, 0), (0, -1), (0, 1))[direction]
        force = int(self.armies[y, x]) - 1
        self.armies[y, x] = 1
        ny, nx = y + dy, x + dx
        if self.owner[ny, nx] == player:
            self.armies[ny, nx] += force
        else:
            left = force - int(self.armies[ny, nx])
            self.armies[ny, nx] = abs(left)
            if left > 0:
                self.owner[ny, nx] = player
        return best

    def view(self, player: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """What a player sees: armies `[HW]` and packed planes `[4, ceil(HW / 8)]`."""
        own = np.pad(self.owner == player, 1)
        rows = own[:-2] | own[1:-1] | own[2:]
        visible = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
        structure = self.city.copy()
        structure.flat[self.generals] = True
        planes = (
            self.owner == player,
            visible & (self.owner == 1 - player),
            visible & structure,
            visible & self.mountain,
        )
        bits = np.packbits(np.stack(planes).reshape(4, -1), axis=1, bitorder="little")
        return np.where(visible, self.armies, 0).astype(np.uint16).ravel(), bits


def play_chunk(
    game: Game, ticks: int, *, source: Source, final: bool = False, log_probs: bool = False
) -> list[ExperienceBatch]:
    """The next chunk of a game, one batch a player; `source` gives topic, id, partition and offset."""
    first, views, actions, rewards = game.tick, [[game.view(p)] for p in (0, 1)], [], []
    for _ in range(ticks):
        actions.append(game.step())
        sums = [int(game.armies[game.owner == p].sum()) for p in (0, 1)]
        advantage = 0.05 * (sums[0] - sums[1]) / max(1, sum(sums))
        rewards.append((advantage, -advantage))
        for player in (0, 1):
            views[player].append(game.view(player))
    game.chunk += 1
    return [
        ExperienceBatch(
            game_id=game.game_id,
            chunk=game.chunk - 1,
            player=player,
            first_tick=first,
            width=game.width,
            height=game.height,
            encoding="nine_planes",
            encoding_params={},
            reward="standard",
            reward_params={"city": 0.1},
            policy=PolicyRef("expander", player),
            config_version="c0ffee",
            planes=PLANES,
            scalar_names=(),
            armies=np.stack([armies for armies, _ in views[player]]),
            bits=np.stack([bits for _, bits in views[player]]),
            scalars=np.zeros((ticks + 1, 0), np.float32),
            actions=np.array([row[player] for row in actions], np.int32),
            rewards=np.array([row[player] for row in rewards], np.float32),
            log_probs=-game.rng.random(ticks).astype(np.float32) if log_probs else None,
            end="truncated" if final else "none",
            source=Source(source.topic, source.topic_id, source.partition, source.offset, player, 2),
        )
        for player in (0, 1)
    ]


def play(
    rng: Generator, *, games: int, chunks: int, ticks: int, side: tuple[int, int] = (18, 23), partition: int = 0
) -> Iterator[ExperienceBatch]:
    """Batches as one partition of the experiences topic holds them: games side by side, chunk after chunk."""
    boards = [Game(rng, f"run-{partition}-{n:04d}", *map(int, rng.integers(*side, 2))) for n in range(games)]
    offset = 0
    for chunk in range(chunks):
        for game in boards:
            yield from play_chunk(
                game,
                ticks,
                source=Source("generals.transitions", "AAAAAAAAAAAAAAAAAAAAAA", partition, offset, 0, 2),
                final=chunk == chunks - 1,
            )
            offset += 1
