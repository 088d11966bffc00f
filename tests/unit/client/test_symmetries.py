"""Symmetries mean the same for states, masks and actions, and can be undone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from generals_client import symmetries
from generals_client.expand import expand, legal_actions
from generals_client.symmetries import FLIP, MIRROR, TRANSPOSE, inverse, turn_action, turn_mask, turn_state
from generals_schemas.actions import num_actions
from generals_schemas.encodings import get_encoding

ENCODING = get_encoding("nine_planes")


@st.composite
def turned_boards(draw: st.DrawFn) -> tuple[np.random.Generator, int, int, int]:
    width = draw(st.integers(1, 9))
    height = draw(st.one_of(st.just(width), st.integers(1, 9)))
    symmetry = draw(st.integers(0, symmetries.count(width, height) - 1))
    return np.random.default_rng(draw(st.integers(0, 2**32))), width, height, symmetry


def view(rng: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """armies `[1, HW]`, planes `[1, 5, HW]` as a player may see them."""
    what = rng.integers(0, 5, width * height)
    planes = np.stack([what == 1, what == 2, np.zeros_like(what, bool), what == 3, what > 0])
    return (rng.integers(0, 6, what.shape) * (what > 0)).astype(np.uint16)[None], planes[None]


def both(armies: NDArray[np.uint16], planes: NDArray[np.bool_], width: int, height: int) -> Any:
    bits = np.packbits(planes, axis=-1, bitorder="little")
    size: Any = {"rows": np.array([0]), "width": width, "height": height}
    scalars = np.zeros((1, 0), np.float32)
    state = expand(ENCODING, armies=armies, bits=bits, scalars=scalars, **size)
    return state, legal_actions(armies=armies, bits=bits, planes=ENCODING.planes, **size)


def test_a_drawn_board_is_mirrored_flipped_and_transposed() -> None:
    # a b c      c b a      g h i      a d g
    # d e f      f e d      d e f      b e h
    # g h i      i h g      a b c      c f i
    board = np.array(list("abcdefghi")).reshape(3, 3)
    assert "".join(turn_state(board, MIRROR).ravel()) == "cbafedihg"
    assert "".join(turn_state(board, FLIP).ravel()) == "ghidefabc"
    assert "".join(turn_state(board, TRANSPOSE).ravel()) == "adgbehcfi"


@settings(deadline=None)  # the first example compiles
@given(turned_boards())
def test_what_is_legal_on_the_turned_board_is_what_was_legal_turned(
    board: tuple[np.random.Generator, int, int, int],
) -> None:
    rng, width, height, symmetry = board
    armies, planes = view(rng, width, height)
    state, mask = both(armies, planes, width, height)
    flat = (1, -1, width * height)
    turned_armies = turn_state(armies.reshape(1, height, width), symmetry).reshape(1, -1)
    turned_planes = turn_state(planes.reshape(1, 5, height, width), symmetry).reshape(flat)
    turned_state, turned_mask = both(turned_armies, turned_planes, width, height)
    np.testing.assert_array_equal(turn_state(state, symmetry), turned_state)
    np.testing.assert_array_equal(turn_mask(mask, symmetry, width, height), turned_mask)
    legal = np.flatnonzero(mask[0])
    assert set(turn_action(legal, symmetry, width, height)) == set(np.flatnonzero(turned_mask[0]))


@settings(deadline=None)  # the first example compiles
@given(turned_boards())
def test_a_symmetry_and_its_inverse_change_nothing(board: tuple[np.random.Generator, int, int, int]) -> None:
    rng, width, height, symmetry = board
    back = inverse(symmetry)
    state = rng.random((2, 3, height, width))
    np.testing.assert_array_equal(turn_state(turn_state(state, symmetry), back), state)
    actions = np.arange(-1, num_actions(width, height))
    there = turn_action(actions, symmetry, width, height)
    np.testing.assert_array_equal(turn_action(there, back, width, height), actions)
    values = rng.random(num_actions(width, height))
    np.testing.assert_array_equal(turn_mask(turn_mask(values, symmetry, width, height), back, width, height), values)
    assert turn_mask(values, symmetry, width, height)[there[1]] == values[0]


def test_a_board_that_is_not_square_and_actions_it_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match=r"symmetry 4 does not keep a board of 4 x 3: 0 … 3 do"):
        turn_state(np.zeros((3, 4)), 4)
    with pytest.raises(ValueError, match="outside -1 … 96"):
        turn_action(np.array([97]), 0, 4, 3)
    with pytest.raises(ValueError, match="96 actions, a board of 4 x 3 has 97"):
        turn_mask(np.zeros(96), 0, 4, 3)
