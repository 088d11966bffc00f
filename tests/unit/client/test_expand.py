"""Packed rows become the same tensors by numpy, by the compiled kernels and by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from generals_client.expand import expand, legal_actions
from generals_schemas.actions import RIGHT, Move, decode, encode
from generals_schemas.encodings import BASE_PLANES, Channel, Encoding, encoding_names, get_encoding


def pack(plane: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(plane, axis=-1, bitorder="little")


def around(own: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """`[N, HW]`: the tiles and their neighbours, one tile after another."""
    seen = np.zeros_like(own)
    for n, tile in zip(*np.nonzero(own), strict=True):
        y, x = divmod(int(tile), width)
        for v in range(max(0, y - 1), min(height, y + 2)):
            for u in range(max(0, x - 1), min(width, x + 2)):
                seen[n, v * width + u] = True
    return seen


def random_rows(
    rng: np.random.Generator, rows: int, width: int, height: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Views that a player could have: exactly one of own, enemy, mountain or none on a visible tile."""
    what = rng.integers(0, 9, (rows, width * height))
    visible = around(what == 1, width, height)
    what = np.where(visible, what, 0)
    planes = np.stack([what == 1, what == 2, (what > 0) & (what < 3) & (rng.random(what.shape) < 0.2), what == 3], 1)
    armies = (rng.integers(0, 2000, what.shape) * (visible & (what != 3))).astype(np.uint16)
    return armies, pack(planes)


@pytest.mark.parametrize("name", encoding_names())
@pytest.mark.parametrize(("width", "height"), [(20, 20), (7, 5), (1, 3), (64, 64)])
def test_compiled_and_plain_expansion_agree(name: str, width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    encoding = get_encoding(name)
    armies, base = random_rows(rng, 9, width, height)
    extra = rng.integers(0, 256, (9, len(encoding.planes) - len(BASE_PLANES), base.shape[-1]), dtype=np.uint8)
    scalars = rng.random((9, len(encoding.scalars)), np.float32)
    rows = rng.integers(0, 9, 30)

    def make(compiled: bool) -> NDArray[np.float32]:
        return expand(
            encoding, armies=armies, bits=np.concatenate([base, extra], 1), scalars=scalars,
            rows=rows, width=width, height=height, compiled=compiled,
        )  # fmt: skip

    fast, plain = make(True), make(False)
    assert fast.dtype == np.dtype(encoding.dtype)
    np.testing.assert_allclose(fast, plain, rtol=1e-6, atol=0)
    shares = [channel.kind != "scalar" for channel in encoding.channels]
    assert fast[:, shares].max() <= 1


def test_logarithmic_and_derived_channels_agree_between_both_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    armies, bits = random_rows(rng, 4, 9, 8)
    channels = (
        Channel("neutral armies", "log_army", "neutral", ""),
        Channel("city armies", "army", "city", ""),
        Channel("turn", "scalar", "turn", ""),
    )
    encoding = Encoding("trial", channels, scalars=("turn",))
    arguments = {
        "armies": armies, "bits": bits, "scalars": np.full((4, 1), 0.25, np.float32),
        "rows": np.arange(4), "width": 9, "height": 8,
    }  # fmt: skip
    fast = expand(encoding, **arguments, compiled=True)  # type: ignore[arg-type] # one dict for both calls
    np.testing.assert_allclose(fast, expand(encoding, **arguments, compiled=False), rtol=1e-6)  # type: ignore[arg-type] # as above
    assert (fast[:, 2] == 0.25).all()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_drawn_board_has_the_legal_actions_one_counts_by_hand(compiled: bool) -> None:
    # 3 x 2:   5  1  M      own army 5, own army 1, a mountain
    #          .  3  .      neutral,    own army 3, neutral
    own = np.array([1, 1, 0, 0, 1, 0], np.bool_)
    mountain = np.array([0, 0, 1, 0, 0, 0], np.bool_)
    none = np.zeros(6, np.bool_)
    bits = pack(np.stack([own, none, none, mountain])[None])
    armies = np.array([[5, 1, 0, 0, 3, 0]], np.uint16)
    mask = legal_actions(
        armies=armies, bits=bits, rows=np.array([0]), width=3, height=2, planes=BASE_PLANES, compiled=compiled
    )
    legal = [decode(int(action), 3, 2) for action in np.flatnonzero(mask[0])]
    whole = [
        Move(0, 0, 1, False),
        Move(0, 0, 3, False),
        Move(1, 1, 0, False),
        Move(1, 1, 2, False),
        Move(1, 1, 3, False),
    ]
    assert legal == [*whole, *[move._replace(split=True) for move in whole], None]


def test_both_paths_find_the_same_legal_actions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    armies, bits = random_rows(rng, 20, 11, 13)
    arguments = {
        "armies": armies,
        "bits": bits,
        "rows": np.arange(20),
        "width": 11,
        "height": 13,
        "planes": BASE_PLANES,
    }
    fast = legal_actions(**arguments, compiled=True)  # type: ignore[arg-type] # one dict for both calls
    assert np.array_equal(fast, legal_actions(**arguments, compiled=False))  # type: ignore[arg-type] # as above
    assert fast.sum() > 20


@pytest.mark.parametrize("compiled", [True, False])
def test_bits_behind_the_last_tile_are_no_tiles(compiled: bool, seed: int) -> None:
    """No collector writes such bits; a damaged or foreign record may, and the arrays end before them."""
    width, height = 5, 5
    armies, bits = random_rows(np.random.default_rng(seed), 30, width, height)
    armies = np.maximum(armies, 2)
    damaged = bits.copy()
    damaged[:, :, -1] |= 0xFE

    def legal(stored: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return legal_actions(
            armies=armies, bits=stored, rows=np.arange(30), width=width, height=height, planes=BASE_PLANES,
            compiled=compiled,
        )  # fmt: skip

    assert np.array_equal(legal(damaged), legal(bits))


@pytest.mark.parametrize("compiled", [True, False])
def test_records_that_hold_what_is_visible_give_the_same(compiled: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    armies, bits = random_rows(rng, 12, 13, 9)
    own = np.unpackbits(bits[:, 0], axis=1, count=13 * 9, bitorder="little").astype(np.bool_)
    before = np.concatenate([bits, pack(around(own, 13, 9))[:, None]], 1)
    encoding = get_encoding("nine_planes")

    def make(stored: NDArray[np.uint8], planes: tuple[str, ...]) -> NDArray[np.float32]:
        return expand(
            encoding, armies=armies, bits=stored, scalars=np.zeros((12, 0), np.float32), rows=np.arange(12),
            width=13, height=9, planes=planes, compiled=compiled,
        )  # fmt: skip

    now = make(bits, BASE_PLANES)
    np.testing.assert_array_equal(make(before, (*BASE_PLANES, "visible")), now)
    np.testing.assert_array_equal(now[:, 7].reshape(12, -1), around(own, 13, 9))


def test_an_action_index_goes_to_a_move_and_back() -> None:
    for action in range(8 * 5 * 4 + 1):
        assert encode(decode(action, 5, 4), 5, 4) == action
    assert encode(Move(4, 3, RIGHT, True), 5, 4) == 8 * 20 - 1
    with pytest.raises(ValueError, match="outside 0 … 160"):
        decode(161, 5, 4)


def test_a_buffer_given_is_filled_and_a_wrong_one_is_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    armies, bits = random_rows(rng, 4, 9, 8)
    arguments = {
        "armies": armies, "bits": bits, "scalars": np.zeros((4, 0), np.float32),
        "rows": np.arange(4), "width": 9, "height": 8,
    }  # fmt: skip
    buffer = np.full((4, 9, 8, 9), 7, np.float32)
    made = expand(get_encoding("nine_planes"), **arguments, out=buffer)  # type: ignore[arg-type] # one dict for both
    assert made is buffer
    np.testing.assert_array_equal(made, expand(get_encoding("nine_planes"), **arguments))  # type: ignore[arg-type] # as above
    for wrong in (buffer[:3], buffer.astype(np.float64), np.zeros((4, 9, 9, 8), np.float32)):
        with pytest.raises(ValueError, match=r"must be contiguous float32 \(4, 9, 8, 9\)"):
            expand(get_encoding("nine_planes"), **arguments, out=wrong)  # type: ignore[arg-type] # as above
