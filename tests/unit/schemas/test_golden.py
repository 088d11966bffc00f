"""Records written by every past version of a schema stay readable. A breaking change to a schema fails here.

A golden file is `<schema>.v<N>.bin` with `<schema>.v<N>.json` beside it, which says what it decodes to. They are never
changed; a new version of a schema adds a pair (`docs/guides/schemas.md`).
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generals_schemas.codec import (
    decode_batch,
    decode_chunk,
    decode_game,
    decode_policy,
    encode_batch,
    encode_chunk,
    encode_game,
    encode_policy,
)
from generals_schemas.golden.plain import plain

GOLDEN = Path(__file__).parents[3] / "schemas" / "generals_schemas" / "golden"
CODECS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "transition_chunk": (decode_chunk, encode_chunk),
    "experience_batch": (decode_batch, encode_batch),
    "game_summary": (decode_game, encode_game),
    "policy_pointer": (decode_policy, encode_policy),
}
RECORDS = sorted(path.stem for path in GOLDEN.glob("*.bin"))


@pytest.mark.parametrize("name", RECORDS)
def test_a_golden_record_decodes_to_what_was_written(name: str) -> None:
    decode, _ = CODECS[name.split(".")[0]]
    record = (GOLDEN / f"{name}.bin").read_bytes()
    found, written = plain(decode(record)), json.loads((GOLDEN / f"{name}.json").read_text())
    assert {key: found[key] for key in written} == written, "fields added later have defaults"


@pytest.mark.parametrize("schema", sorted(CODECS))
def test_the_current_schema_writes_its_newest_golden_record_again(schema: str) -> None:
    newest = max((n for n in RECORDS if n.startswith(schema)), key=lambda n: int(n.rpartition("v")[2]))
    record = (GOLDEN / f"{newest}.bin").read_bytes()
    decode, encode = CODECS[schema]
    again = encode(decode(record))
    assert again[:10] == record[:10], "the schema changed: add a golden record of the new version beside the old ones"
    assert plain(decode(again)) == plain(decode(record))


def test_the_golden_files_are_those_that_were_recorded() -> None:
    sums = {name: hashlib.sha256((GOLDEN / f"{name}.bin").read_bytes()).hexdigest() for name in RECORDS}
    assert sums == json.loads((GOLDEN / "SHA256.json").read_text())
