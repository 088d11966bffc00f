"""Avro single-object encoding with a checksum: `C3 01`, the schema's CRC-64-AVRO fingerprint, the body.

The last field of every schema is `checksum`, four bytes, so it is also the last four bytes of the record: the
little-endian CRC-32 of all bytes before it. A reader can check a record before it parses any of it.
"""

import io
import json
import struct
import zlib
from collections.abc import Mapping
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
    """One parsed schema that frames, writes and reads records."""

    def __init__(self, name: str, definition: Any) -> None:
        self.name = name
        self.definition = definition
        self._parsed = fastavro.parse_schema(definition)
        canonical = to_parsing_canonical_form(definition)
        self.fingerprint = int.from_bytes(bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")), "little")
        self._header = MAGIC + struct.pack("<Q", self.fingerprint)

    def write(self, fields: Fields) -> bytes:
        """Frame and serialise `fields` (without `checksum`) and seal the record."""
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, {**fields, "checksum": NO_CHECKSUM})
        return self.seal(out.getvalue()[:-CHECKSUM_BYTES])

    def seal(self, body: bytes) -> bytes:
        """Frame a body that lacks nothing but its checksum."""
        framed = self._header + body
        return framed + zlib.crc32(framed).to_bytes(CHECKSUM_BYTES, "little")

    def read(self, record: bytes) -> dict[str, Any]:
        """Check and parse a record.

        Raises:
            BadRecord: too short, not framed, a wrong checksum, or a body that is not of this schema.
            UnknownSchema: framed with another schema's fingerprint.
        """
        _check_frame(record)
        (found,) = struct.unpack_from("<Q", record, len(MAGIC))
        if found != self.fingerprint:
            raise UnknownSchema(found, {self.fingerprint: self.name})
        source = io.BytesIO(record)
        source.seek(HEADER_BYTES)
        try:
            fields = fastavro.schemaless_reader(source, self._parsed, None)
        except Exception as error:  # fastavro lets what it trips over through: EOFError, IndexError, ValueError, …
            raise BadRecord("malformed", f"not a {self.name}: {type(error).__name__}: {error}") from error
        if source.tell() != len(record):
            raise BadRecord("malformed", f"{len(record) - source.tell()} bytes stand behind the {self.name}")
        if not isinstance(fields, dict):
            raise BadRecord("malformed", f"the {self.name} is no record")
        return fields


def _check_frame(record: bytes) -> None:
    if len(record) < HEADER_BYTES + CHECKSUM_BYTES:
        raise BadRecord("truncated", f"{len(record)} bytes are too few for a framed record")
    if record[: len(MAGIC)] != MAGIC:
        raise BadRecord("not_framed", f"the record begins with {record[:2].hex()}, not {MAGIC.hex()}")
    expected = zlib.crc32(memoryview(record)[:-CHECKSUM_BYTES])
    (found,) = struct.unpack_from("<I", record, len(record) - CHECKSUM_BYTES)
    if found != expected:
        raise BadRecord("checksum", f"CRC-32 is {expected:08x}, the record says {found:08x}")


@cache
def schema(name: str) -> Schema:
    """The current version of the schema in `avro/<name>.avsc`."""
    text = resources.files("generals_schemas").joinpath("avro", f"{name}.avsc").read_text(encoding="utf-8")
    return Schema(name, json.loads(text))
