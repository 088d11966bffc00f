"""Write config/default.yaml from the settings models: every setting there is, its default, and what it means.

    python config/make_default.py

Settings without a default of their own (passwords, ids drawn anew for each process) stand there as comments.
"""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from generals_runtime.settings import ServiceSettings

PATH = Path(__file__).with_name("default.yaml")
SERVICES = ("engine", "collector", "writer", "trainer")
SHARED = tuple(ServiceSettings.model_fields)
WIDTH = 118
HEADER = """\
# Every setting of every service, with its default. Made from the settings models by config/make_default.py.
#
# Copy what you change into a YAML of your own and name it in GENERALS_CONFIG; what it leaves out is as it is here. A
# variable of the same path wins over it: GENERALS_KAFKA__BOOTSTRAP_SERVERS, GENERALS_ENGINE__GAMES; with _FILE at the
# end it names a file that holds the value.
"""


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"generals_{service}.settings")
    model: type[ServiceSettings] = getattr(module, f"{service.capitalize()}Settings")
    return model


def scalar(value: Any) -> str:
    """A value as YAML in one line: JSON is."""
    return json.dumps(value, ensure_ascii=False, default=str)


def comment(info: FieldInfo, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(info.description or "", WIDTH - len(indent)):
        yield f"{indent}# {line}"


def fields(model: type[BaseModel], indent: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    """The lines of a group: a comment where there is a description, then the key and its default."""
    for name, info in model.model_fields.items():
        if name in skip:
            continue
        default = info.default
        if isinstance(default, BaseModel):
            yield f"{indent}{name}:"
            yield from fields(type(default), indent + "  ")
            continue
        yield from comment(info, indent)
        yield f"{indent}{entry(name, info)}"


def entry(name: str, info: FieldInfo) -> str:
    if info.default_factory is None:
        return f"{name}: {scalar(plain(info.default))}"
    drawn = info.get_default(call_default_factory=True)
    return f"{name}: {scalar(drawn)}" if isinstance(drawn, dict) else f"# {name}: drawn anew for each process"


def plain(value: Any) -> Any:
    """Models inside a default as dictionaries."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def text() -> str:
    lines = [HEADER]
    lines += fields(ServiceSettings, "")
    for service in SERVICES:
        lines += ["", f"{service}:", *fields(settings_of(service), "  ", SHARED)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{PATH.name}\n")
