"""Whether a changed schema still reads what older versions wrote.

The rules are Avro's schema resolution with the newer version as reader, and two of this project's own: the last field
stays `checksum: fixed(4)`, and nothing hides behind an alias. Everything is said at once: `breaks` returns all reasons.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

Definition: TypeAlias = Any
"""An Avro schema as JSON gives it: a name, a list (union) or an object."""

CHECKSUM_BYTES = 4
_WIDENS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def breaks(old: Definition, new: Definition) -> list[str]:
    """Why readers of `new` could not read records of `old`; empty if they can."""
    found = _Comparison(old, new)
    return [*_framing(new), *found.differences(old, new, str(new.get("name", "")))]


def _framing(new: Definition) -> Iterator[str]:
    fields = new.get("fields") or [{"name": "", "type": ""}]
    kind = fields[-1]["type"]
    fixed = isinstance(kind, dict) and kind.get("type") == "fixed" and kind.get("size") == CHECKSUM_BYTES
    if fields[-1]["name"] != "checksum" or not fixed:
        yield f"the last field is {fields[-1]['name']}, must be checksum: fixed({CHECKSUM_BYTES})"


class _Comparison:
    """Two schemas with the types that each of them names."""

    def __init__(self, old: Definition, new: Definition) -> None:
        self._old_names: dict[str, Definition] = {}
        self._new_names: dict[str, Definition] = {}
        _collect(old, self._old_names)
        _collect(new, self._new_names)

    def differences(self, old: Definition, new: Definition, where: str) -> Iterator[str]:
        old, new = self._old_names.get(_key(old), old), self._new_names.get(_key(new), new)
        if isinstance(old, list) or isinstance(new, list):
            yield from self._union(old, new, where)
            return
        before, after = _kind(old), _kind(new)
        if before != after:
            if after not in _WIDENS.get(before, ()):
                yield f"{where}: {before} became {after}"
            return
        compare = {"record": self._record, "enum": self._enum, "fixed": self._fixed}.get(after)
        if compare is not None:
            yield from compare(old, new, where)
        elif after in ("array", "map"):
            inner = "items" if after == "array" else "values"
            yield from self.differences(old[inner], new[inner], f"{where}[]")

    def _record(self, old: Definition, new: Definition, where: str) -> Iterator[str]:
        yield from _renamed(old, new, where)
        before = {field["name"]: field for field in old["fields"]}
        for field in new["fields"]:
            name = f"{where}.{field['name']}"
            if field["name"] in before:
                yield from self.differences(before[field["name"]]["type"], field["type"], name)
            elif "default" not in field:
                yield f"{name} was added without a default"

    def _enum(self, old: Definition, new: Definition, where: str) -> Iterator[str]:
        yield from _renamed(old, new, where)
        gone = [symbol for symbol in old["symbols"] if symbol not in new["symbols"]]
        if gone and "default" not in new:
            yield f"{where}: {', '.join(gone)} can no longer be read"

    def _fixed(self, old: Definition, new: Definition, where: str) -> Iterator[str]:
        yield from _renamed(old, new, where)
        if old["size"] != new["size"]:
            yield f"{where}: {old['size']} bytes became {new['size']}"

    def _union(self, old: Definition, new: Definition, where: str) -> Iterator[str]:
        readable = new if isinstance(new, list) else [new]
        for branch in old if isinstance(old, list) else [old]:
            if not any(not list(self.differences(branch, other, where)) for other in readable):
                yield f"{where}: {_kind(branch)} can no longer be read"


def _collect(definition: Definition, names: dict[str, Definition]) -> None:
    """All named types of a schema, by their names."""
    if isinstance(definition, list):
        for branch in definition:
            _collect(branch, names)
    elif isinstance(definition, dict):
        if "name" in definition and definition["type"] in ("record", "enum", "fixed"):
            names[definition["name"]] = definition
        for field in definition.get("fields", ()):
            _collect(field["type"], names)
        for inner in ("items", "values"):
            if inner in definition:
                _collect(definition[inner], names)


def _key(definition: Definition) -> str:
    """A reference to a named type, without its namespace."""
    return definition.rpartition(".")[2] if isinstance(definition, str) else ""


def _kind(definition: Definition) -> str:
    return str(definition["type"] if isinstance(definition, dict) else definition)


def _renamed(old: Definition, new: Definition, where: str) -> Iterator[str]:
    if old["name"] != new["name"]:
        yield f"{where}: {old['name']} was renamed {new['name']}"
