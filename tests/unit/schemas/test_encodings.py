"""Encodings are declarations that name only what there is, and their page says what they declare."""

from pathlib import Path

import pytest

from generals_schemas.encoding_tables import document
from generals_schemas.encodings import BASE_PLANES, Channel, Encoding, encoding_names, get_encoding

PAGE = Path(__file__).parents[3] / "docs" / "encodings.md"
OWN = Encoding("mine", (Channel("a", "plane", "own", "b"),))


def test_the_page_is_what_the_declarations_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "out of date: python -m generals_schemas.encodings > docs/encodings.md"
    )


def test_every_channel_of_every_encoding_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "nine_planes" in encoding_names()
    for name in encoding_names():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for index, channel in enumerate(get_encoding(name).channels):
            assert f"| {index} | {channel.name} | {channel.kind} | {channel.of} |" in section


def test_an_encoding_of_ones_own_is_found_by_module_and_attribute_and_an_unknown_one_is_named() -> None:
    assert get_encoding("generals_schemas.encodings.nine_planes:ENCODING") is get_encoding("nine_planes")
    with pytest.raises(KeyError, match="encoding 'ten_planes' is unknown; there are memory, nine_planes"):
        get_encoding("ten_planes")
    with pytest.raises(KeyError, match="is no Encoding but tuple"):
        get_encoding("generals_schemas.encodings:BASE_PLANES")


def test_the_pages_encoding_of_ones_own_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "small_encoding.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = get_encoding("small_encoding:ENCODING")
    assert found.name == "small_encoding:ENCODING"
    assert [channel.name for channel in found.channels] == ["own_armies", "enemy_armies", "mountains"]


def test_an_encoding_that_names_what_it_does_not_store_is_refused() -> None:
    with pytest.raises(ValueError, match="channel a is made of secret"):
        Encoding("wrong", (Channel("a", "plane", "secret", ""),))
    with pytest.raises(ValueError, match="planes must begin with"):
        Encoding("wrong", (), planes=BASE_PLANES[1:])
    with pytest.raises(ValueError, match="no parameter 'scale'; it has army_scale"):
        OWN.with_params({"scale": 2.0})
