"""Symmetries of the board, and that they mean the same for tiles, masks and actions."""

from typing import Any

import numpy as np
import pytest
import torch

from generals_client.symmetries import FLIP, MIRROR, TRANSPOSE
from generals_schemas.actions import decode, num_actions
from generals_trainer.replay import ReplayBuffer
from generals_trainer.samples import Layout
from generals_trainer.symmetries import symmetries
from generals_trainer.tensors import Tensors


def test_a_drawn_board_is_mirrored_flipped_and_transposed() -> None:
    # a b c      c b a      g h i      a d g
    # d e f      f e d      d e f      b e h
    # g h i      i h g      a b c      c f i
    board = np.array(list("abcdefghi"))
    tables = symmetries(3, 3).tiles
    assert "".join(board[tables[MIRROR]]) == "cbafedihg"
    assert "".join(board[tables[FLIP]]) == "ghidefabc"
    assert "".join(board[tables[TRANSPOSE]]) == "adgbehcfi"


@pytest.mark.parametrize(("width", "height", "count"), [(3, 3, 8), (8, 8, 8), (4, 3, 4), (2, 5, 4)])
def test_every_symmetry_is_a_permutation_and_all_differ(width: int, height: int, count: int) -> None:
    tables = symmetries(width, height)
    assert len(tables) == count == len(np.unique(tables.tiles, axis=0))
    for table, size in ((tables.tiles, width * height), (tables.actions, num_actions(width, height))):
        np.testing.assert_array_equal(np.sort(table, axis=1), np.tile(np.arange(size), (count, 1)))
    np.testing.assert_array_equal(tables.tiles[0], np.arange(width * height))


@pytest.mark.parametrize(("width", "height"), [(3, 3), (5, 4)])
def test_a_turned_move_leads_from_and_to_the_turned_tiles(width: int, height: int) -> None:
    tables = symmetries(width, height)
    for symmetry in range(len(tables)):
        goes_to = np.argsort(tables.tiles[symmetry])
        for action in range(8 * width * height):
            before = decode(action, width, height)
            after = decode(int(tables.moved[symmetry, action]), width, height)
            assert before is not None
            assert after is not None
            assert before.split == after.split
            for tile_before, tile_after in zip(_tiles(before, width), _tiles(after, width), strict=True):
                if 0 <= tile_before[0] < width and 0 <= tile_before[1] < height:
                    assert goes_to[tile_before[1] * width + tile_before[0]] == tile_after[1] * width + tile_after[0]
        assert tables.moved[symmetry, -1] == 8 * width * height


def _tiles(move: Any, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    dx, dy = [(0, -1), (0, 1), (-1, 0), (1, 0)][move.direction]
    return (move.x, move.y), (move.x + dx, move.y + dy)


def test_the_mask_of_a_turned_board_is_the_turned_mask(make_batch: Any) -> None:
    batch = make_batch(width=5, height=5, steps=30, scalars=0, end="terminated")
    buffer = ReplayBuffer(Layout.of(batch), capacity=100, alpha=0.0)
    buffer.insert(batch)
    sample = buffer.sample(64)
    tensors = Tensors(buffer.layout, torch.device("cpu"))
    turned = tensors.batch(sample, np.random.default_rng(3))
    channels = {channel.name: index for index, channel in enumerate(tensors.encoding.channels)}
    own = turned.next_planes[:, channels["own_territory"]] * (turned.next_planes[:, channels["own_armies"]] > 0.0015)
    free = 1 - turned.next_planes[:, channels["mountains"]]
    expected = np.zeros((64, 5, 5, 4), bool)
    expected[:, 1:, :, 0] = (own[:, 1:] * free[:, :-1]).numpy() > 0
    expected[:, :-1, :, 1] = (own[:, :-1] * free[:, 1:]).numpy() > 0
    expected[:, :, 1:, 2] = (own[:, :, 1:] * free[:, :, :-1]).numpy() > 0
    expected[:, :, :-1, 3] = (own[:, :, :-1] * free[:, :, 1:]).numpy() > 0
    np.testing.assert_array_equal(turned.next_mask[:, :100].numpy(), expected.reshape(64, -1))
    np.testing.assert_array_equal(turned.next_mask[:, 100:200].numpy(), expected.reshape(64, -1))
    assert turned.next_mask[:, 200].all()
    plain = tensors.batch(sample, None)
    assert not torch.equal(plain.planes, turned.planes)
    torch.testing.assert_close(plain.planes.sum((2, 3)), turned.planes.sum((2, 3)))
