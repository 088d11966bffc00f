"""Avro single-object encoding with a checksum: `C3 01`, the schema's CRC-64-AVRO fingerprint, the body.

The last field of every schema is `checksum`, four bytes, so it is also the last four bytes of the record: the
little-endian CRC-32 of all bytes before it. A reader can check a record before it parses any of it.
"""

import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from generals_schemas.errors import BadRecord, UnknownSchema

MAGIC = b"\xc3\x01"
HEADER_BYTES = 10
CHECKSUM_BYTES = 4
NO_CHECKSUM = bytes(CHECKSUM_BYTES)
SCHEMA_NAMES = ("transition_chunk", "experience_batch", "game_summary", "policy_pointer")

Fields: TypeAlias = Mapping[str, Any]


class Schema:
    """One parsed schema that frames and writes records, and reads those of its older versions too.

    older: definitions of the versions before this one. Their records come out with this version's fields: added ones
    have their defaults, removed ones are left out.
    """

    def __init__(self, name: str, definition: Any, older: Sequence[Any] = ()) -> None:
        self.name = name
        self.definition = definition
        self._parsed = fastavro.parse_schema(definition)
        self.fingerprint = fingerprint_of(definition)
        self.header = MAGIC + struct.pack("<Q", self.fingerprint)
        self._older = {fingerprint_of(old): fastavro.parse_schema(old) for old in older}
        self._older.pop(self.fingerprint, None)

    @property
    def fingerprints(self) -> tuple[int, ...]:
        """Of all versions that can be read, this one first."""
        return (self.fingerprint, *self._older)

    def write(self, fields: Fields) -> bytes:
        """Frame and serialise `fields` (without `checksum`) and seal the record."""
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, {**fields, "checksum": NO_CHECKSUM})
        return self.seal(out.getvalue()[:-CHECKSUM_BYTES])

    def seal(self, body: bytes) -> bytes:
        """Frame a body that lacks nothing but its checksum."""
        framed = self.header + body
        return framed + zlib.crc32(framed).to_bytes(CHECKSUM_BYTES, "little")

    def read(self, record: bytes) -> dict[str, Any]:
        """Check and parse a record.

        Raises:
            BadRecord: too short, not framed, a wrong checksum, or a body that is not of this schema.
            UnknownSchema: framed with another schema's fingerprint.
        """
        check_frame(record)
        (found,) = struct.unpack_from("<Q", record, len(MAGIC))
        written, wanted = self._parsed, None
        if found != self.fingerprint:
            if found not in self._older:
                raise UnknownSchema(found, dict.fromkeys(self.fingerprints, self.name))
            written, wanted = self._older[found], self._parsed
        fields, end = parse_at(record, HEADER_BYTES, self.name, written, wanted)
        if end != len(record):
            raise BadRecord("malformed", f"{len(record) - end} bytes stand behind the {self.name}")
        return fields


def parse_at(data: bytes, at: int, name: str, written: Any, wanted: Any = None) -> tuple[dict[str, Any], int]:
    """The Avro record that stands at `at`, and where it ends. written, wanted: parsed schemas, as for fastavro.

    Raises:
        BadRecord: there is none, which is called `name`.
    """
    source = io.BytesIO(data)
    source.seek(at)
    try:
        fields = fastavro.schemaless_reader(source, written, wanted)
    except Exception as error:  # fastavro lets what it trips over through: EOFError, IndexError, ValueError, …
        raise BadRecord("malformed", f"not a {name}: {type(error).__name__}: {error}") from error
    if not isinstance(fields, dict):
        raise BadRecord("malformed", f"the {name} is no record")
    return fields, source.tell()


def check_frame(record: bytes) -> None:
    """Raises BadRecord if a record is too short, not framed or has a wrong checksum."""
    if len(record) < HEADER_BYTES + CHECKSUM_BYTES:
        raise BadRecord("truncated", f"{len(record)} bytes are too few for a framed record")
    if record[: len(MAGIC)] != MAGIC:
        raise BadRecord("not_framed", f"the record begins with {record[:2].hex()}, not {MAGIC.hex()}")
    expected = zlib.crc32(memoryview(record)[:-CHECKSUM_BYTES])
    (found,) = struct.unpack_from("<I", record, len(record) - CHECKSUM_BYTES)
    if found != expected:
        raise BadRecord("checksum", f"CRC-32 is {expected:08x}, the record says {found:08x}")


def fingerprint_of(definition: Any) -> int:
    """The CRC-64-AVRO of a schema's canonical form. Documentation and defaults do not change it."""
    canonical = to_parsing_canonical_form(definition)
    return int.from_bytes(bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")), "little")


@cache
def schema(name: str) -> Schema:
    """The current version of the schema in `avro/<name>.avsc`, with those of `avro/history`."""
    folder = resources.files("generals_schemas").joinpath("avro")
    text = folder.joinpath(f"{name}.avsc").read_text(encoding="utf-8")
    return Schema(name, json.loads(text), [definition for _, definition in history(name)])


def history(name: str) -> list[tuple[int, Any]]:
    """(version, definition) of every version that was ever deployed, the current one included, oldest first."""
    found = []
    for path in resources.files("generals_schemas").joinpath("avro", "history").iterdir():
        stem, _, version = path.name.removesuffix(".avsc").rpartition(".v")
        if stem == name:
            found.append((int(version), json.loads(path.read_text(encoding="utf-8"))))
    return sorted(found, key=lambda entry: entry[0])
