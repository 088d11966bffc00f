"""Schemas may grow, and what was written before stays readable; what would break it is found before it is deployed."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generals_schemas.errors import BadRecord, UnknownSchema
from generals_schemas.evolution import breaks
from generals_schemas.framing import SCHEMA_NAMES, Schema, fingerprint_of, history, schema

GOLDEN = Path(__file__).parents[3] / "schemas" / "generals_schemas" / "golden"
Definition = dict[str, Any]


def current(name: str) -> Definition:
    definition: Definition = copy.deepcopy(schema(name).definition)
    return definition


def changed(name: str, change: Callable[[list[Definition]], Any]) -> Definition:
    definition = current(name)
    change(definition["fields"])
    return definition


def field(fields: list[Definition], name: str) -> Definition:
    return next(entry for entry in fields if entry["name"] == name)


def add_origin(fields: list[Definition]) -> None:
    fields.insert(-1, {"name": "origin", "type": "string", "default": "engine"})


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_the_current_schema_reads_every_version_that_was_ever_deployed(name: str) -> None:
    versions = history(name)
    assert [version for version, _ in versions] == list(range(1, len(versions) + 1))
    assert len(versions) == len(list(GOLDEN.glob(f"{name}.v*.bin"))), "each version has a golden record"
    for version, definition in versions:
        assert breaks(definition, current(name)) == [], f"version {version}"
        record = (GOLDEN / f"{name}.v{version}.bin").read_bytes()
        assert int.from_bytes(record[2:10], "little") == fingerprint_of(definition)
    assert fingerprint_of(versions[-1][1]) == schema(name).fingerprint, (
        "the schema changed: `python -m generals_schemas.golden` records the new version"
    )


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_a_second_version_with_one_more_field_reads_the_first_and_its_own(name: str) -> None:
    old, record = current(name), (GOLDEN / f"{name}.v1.bin").read_bytes()
    second = Schema(name, changed(name, add_origin), older=[old])
    assert breaks(old, second.definition) == []
    fields = second.read(record)
    assert fields["origin"] == "engine"
    assert {**schema(name).read(record), "origin": "engine"} == fields
    written = second.write({**fields, "origin": "recorded"})
    assert second.read(written)["origin"] == "recorded"
    with pytest.raises(UnknownSchema, match="deploy the consumers"):
        schema(name).read(written)


def test_damage_in_a_record_of_an_older_version_is_found_as_in_a_new_one() -> None:
    record = (GOLDEN / "experience_batch.v1.bin").read_bytes()
    second = Schema("experience_batch", changed("experience_batch", add_origin), older=[current("experience_batch")])
    for at in range(len(record)):
        damaged = bytearray(record)
        damaged[at] ^= 0x10
        with pytest.raises((BadRecord, UnknownSchema)):
            second.read(bytes(damaged))


def test_an_unknown_version_is_refused_and_all_known_ones_are_named() -> None:
    two = Schema("game_summary", changed("game_summary", add_origin), older=[current("game_summary")])
    third = Schema("game_summary", changed("game_summary", lambda f: f.insert(1, {"name": "x", "type": "null"})))
    with pytest.raises(UnknownSchema) as caught:
        two.read(third.write({**two.read((GOLDEN / "game_summary.v1.bin").read_bytes()), "x": None}))
    assert all(f"{known:016x}" in str(caught.value) for known in two.fingerprints)
    assert len(two.fingerprints) == 2


BREAKING: dict[str, tuple[str, Callable[[list[Definition]], Any], str]] = {
    "a field without a default": (
        "experience_batch",
        lambda f: f.insert(3, {"name": "new", "type": "int"}),
        "ExperienceBatch.new was added without a default",
    ),
    "a field renamed": (
        "experience_batch",
        lambda f: field(f, "steps").update(name="count"),
        "ExperienceBatch.count was added without a default",
    ),
    "a type changed": (
        "experience_batch",
        lambda f: field(f, "chunk").update(type="string"),
        "ExperienceBatch.chunk: int became string",
    ),
    "a type narrowed": (
        "experience_batch",
        lambda f: field(f, "source_offset").update(type="int"),
        "ExperienceBatch.source_offset: long became int",
    ),
    "a symbol taken away": (
        "experience_batch",
        lambda f: field(f, "end")["type"]["symbols"].remove("truncated"),
        "ExperienceBatch.end: truncated can no longer be read",
    ),
    "a nested field without a default": (
        "experience_batch",
        lambda f: field(f, "policy")["type"]["fields"].append({"name": "hash", "type": "string"}),
        "ExperienceBatch.policy.hash was added without a default",
    ),
    "a branch of a union taken away": (
        "experience_batch",
        lambda f: field(f, "rejected").update(type=["null"], default=None),
        "ExperienceBatch.rejected: string can no longer be read",
    ),
    "the values of a map": (
        "experience_batch",
        lambda f: field(f, "reward_params")["type"].update(values="int"),
        "ExperienceBatch.reward_params[]: double became int",
    ),
    "a field behind the checksum": (
        "game_summary",
        lambda f: f.append({"name": "origin", "type": "string", "default": ""}),
        "the last field is origin, must be checksum: fixed(4)",
    ),
    "a longer checksum": (
        "game_summary",
        lambda f: field(f, "checksum")["type"].update(size=8),
        "the last field is checksum, must be checksum: fixed(4)",
    ),
    "a type renamed": (
        "game_summary",
        lambda f: field(f, "checksum")["type"].update(name="Sum"),
        "GameSummary.checksum: Crc32 was renamed Sum",
    ),
}


@pytest.mark.parametrize("what", BREAKING)
def test_a_breaking_change_is_found(what: str) -> None:
    name, change, reason = BREAKING[what]
    assert reason in breaks(current(name), changed(name, change))


@pytest.mark.parametrize("what", [w for w in BREAKING if "checksum" not in w and "renamed" not in w])
def test_what_is_called_breaking_indeed_cannot_be_read(what: str) -> None:
    name, change, _ = BREAKING[what]
    record = (GOLDEN / f"{name}.v1.bin").read_bytes()
    broken = Schema(name, changed(name, change), older=[current(name)])
    if what in ("a symbol taken away", "a branch of a union taken away"):
        fields = schema(name).read(record)
        record = schema(name).write({**fields, "end": "truncated", "rejected": "shape"})
    with pytest.raises(BadRecord, match="malformed"):
        broken.read(record)


ALLOWED: dict[str, Callable[[list[Definition]], Any]] = {
    "a field removed": lambda f: f.remove(field(f, "config_version")),
    "a type widened": lambda f: field(f, "chunk").update(type="long"),
    "a symbol more": lambda f: field(f, "codec")["type"]["symbols"].append("zstd_columns"),
    "a branch more": lambda f: field(f, "rejected").update(type=["null", "string", "int"]),
    "words": lambda f: field(f, "steps").update(doc="how many"),
    "fields in another order": lambda f: f.insert(0, f.pop(5)),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_a_change_that_breaks_nothing_is_let_through_and_reads_what_was_written(what: str) -> None:
    definition = changed("experience_batch", ALLOWED[what])
    assert breaks(current("experience_batch"), definition) == []
    record = (GOLDEN / "experience_batch.v1.bin").read_bytes()
    fields = Schema("experience_batch", definition, older=[current("experience_batch")]).read(record)
    before = schema("experience_batch").read(record)
    assert {key: before[key] for key in fields} == fields


def test_the_schema_files_are_json_with_a_word_about_each_record() -> None:
    for name in SCHEMA_NAMES:
        assert json.loads(json.dumps(current(name)))["doc"]
