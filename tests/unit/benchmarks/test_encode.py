"""Figures are compared only where both paths give the same."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def encode(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("encode")


def test_both_paths_agree_from_a_games_beginning_to_its_end(encode: ModuleType) -> None:
    some = encode.chunks(40, side=8)
    assert any(chunk.outcome is not None and chunk.outcome.winners for chunk in some)
    for chunk in some:
        encode.check(chunk)


@pytest.mark.parametrize("spoiled", ["seen", "planes", "mask", "rewards"])
def test_a_path_that_gives_something_else_is_noticed(
    encode: ModuleType, spoiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (chunk,) = encode.chunks(1, side=8)
    naive = encode.naive_chunk

    def spoil(*arguments: Any) -> None:
        naive(*arguments)
        array = dict(zip(("seen", "planes", "mask", "rewards"), arguments[-4:], strict=True))[spoiled]
        array.flat[0] = array.flat[0] == 0

    monkeypatch.setattr(encode, "naive_chunk", spoil)
    with pytest.raises(AssertionError):
        encode.check(chunk)
