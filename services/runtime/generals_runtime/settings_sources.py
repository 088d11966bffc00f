"""Where settings come from: one YAML, then the environment over it. Every wrong key is one line that says where it was.

Unusual: both sources are merged into one tree that remembers the origin of every leaf, and pydantic sees only the tree.
pydantic-settings would read the same sources, but could not say which of them a rejected value came from.
`NAME_FILE=/path` gives NAME the file's content, the convention of Docker and Kubernetes secrets.
"""

from __future__ import annotations

import difflib
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from generals_runtime.errors import OperatorError

PREFIX = "GENERALS_"
CONFIG_VARIABLE = "GENERALS_CONFIG"
# Sections of the one YAML; a service reads its own and the shared groups and leaves the others to their owners.
SECTIONS = ("engine", "collector", "writer", "trainer", "console")
SHARED = ("kafka", "observability", "service_id")
# Variables with our prefix that are not settings.
_NOT_SETTINGS = ("CONFIG", "KAFKA_JARS")
_NOT_SETTINGS_PREFIXES = ("TEST_", "BENCH_")

Path_ = tuple[str, ...]
M = TypeVar("M", bound=BaseModel)


class SettingsError(OperatorError):
    """Wrong settings. `problems` has one line for each; a service prints them and exits with 2."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass
class _Tree:
    """The merged values, where each came from, and what was wrong with the sources themselves."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path_, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, path: Path_, value: Any, origin: str) -> None:
        node = self.values
        for depth, name in enumerate(path[:-1], start=1):
            child = node.setdefault(name, {})
            if not isinstance(child, dict):
                child = node[name] = {}
            node = child
            self.origins.setdefault(path[:depth], origin)
        node[path[-1]] = value
        self.origins[path] = origin

    def origin(self, path: Path_) -> str:
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        sources = {origin.rpartition(":")[0] or origin for origin in self.origins.values()}
        return ", ".join(sorted(sources)) if sources and not path else "default"


def load(model: type[M], *, environ: Mapping[str, str] | None = None, config: Path | None = None) -> M:
    """Build `model` from the YAML (`config`, else GENERALS_CONFIG) and the environment, or raise SettingsError."""
    environ = os.environ if environ is None else environ
    tree = _Tree()
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        _read_yaml(named, model, tree)
    _read_environment(environ, model, tree)
    try:
        settings = model.model_validate(tree.values)
    except ValidationError as error:
        tree.problems += [_describe(detail, model, tree) for detail in error.errors(include_url=False)]
    if tree.problems:
        raise SettingsError(tree.problems)
    return settings


def _section(model: type[BaseModel]) -> str:
    return str(getattr(model, "section", ""))


def _read_yaml(file: Path, model: type[BaseModel], tree: _Tree) -> None:
    root = _compose(file, tree)
    if root is None:
        return
    section = _section(model)
    shared = SHARED if section else tuple(model.model_fields)
    _find_unknown_sections(root, sorted((*SECTIONS, *shared)), file, tree)
    for path, value, line in _leaves(root, (), file, tree):
        if path == (section,):
            if value is not None:
                tree.problems.append(f"{section}: {value!r} is not allowed ({file}:{line}): must be a mapping")
        elif path[0] == section:
            tree.put(path[1:], value, f"{file}:{line}")
        elif path[0] in shared:
            tree.put(path, value, f"{file}:{line}")


def _compose(file: Path, tree: _Tree) -> yaml.MappingNode | None:
    """The document with its line numbers; None when it is empty or, a problem, none."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        tree.problems.append(f"the configuration {file} cannot be read: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        tree.problems.append(f"{file}: is no YAML: {' '.join(str(error).split())}")
    else:
        if root is None or isinstance(root, yaml.MappingNode):
            return root
        tree.problems.append(f"{file}:{root.start_mark.line + 1}: must be a mapping of keys to values")
    return None


def _find_unknown_sections(root: yaml.MappingNode, known: list[str], file: Path, tree: _Tree) -> None:
    for key, _ in root.value:
        if str(key.value) not in known:
            hint = _hint(str(key.value), known)
            tree.problems.append(f"{key.value}: unknown section ({file}:{key.start_mark.line + 1}). {hint}")


def _leaves(node: yaml.MappingNode, above: Path_, file: Path, tree: _Tree) -> Iterator[tuple[Path_, Any, int]]:
    """Every (path, value, line); a mapping is walked into, a list is a leaf."""
    seen: set[str] = set()
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        name = str(key_node.value)
        if name in seen:
            tree.problems.append(f"{'.'.join((*above, name))}: stands twice ({file}:{line})")
        seen.add(name)
        if isinstance(child, yaml.MappingNode) and child.value:
            yield from _leaves(child, (*above, name), file, tree)
        elif not isinstance(child, yaml.MappingNode):
            yield (*above, name), _construct(child), line


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _read_environment(environ: Mapping[str, str], model: type[BaseModel], tree: _Tree) -> None:
    section = _section(model)
    for variable in sorted(environ):
        rest = variable.removeprefix(PREFIX)
        if rest == variable or rest in _NOT_SETTINGS or rest.startswith(_NOT_SETTINGS_PREFIXES):
            continue
        path = tuple(rest.lower().split("__"))
        if path[0] in SECTIONS and path[0] not in model.model_fields:
            if path[0] != section:
                continue
            path = path[1:]
        if path:
            _put_variable(variable, environ[variable], path, model, tree)


def _put_variable(variable: str, text: str, path: Path_, model: type[BaseModel], tree: _Tree) -> None:
    origin = f"environment variable {variable}"
    annotation = _annotation(model, path)
    if annotation is None and path[-1].endswith("_file"):
        path = (*path[:-1], path[-1].removesuffix("_file"))
        annotation = _annotation(model, path)
        if annotation is not None:
            try:
                text = Path(text).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                tree.problems.append(f"{'.'.join(path)}: the file named by {variable} cannot be read: {error}")
                return
    tree.put(path, _from_text(text, annotation), origin)


def _from_text(text: str, annotation: Any) -> Any:
    """A variable's text as what pydantic takes: lists and mappings are written as in YAML, `null` is none."""
    parts = _alternatives(annotation)
    if type(None) in parts and text.strip().lower() in ("", "null", "none"):
        return None
    origins = {typing.get_origin(part) or part for part in parts}
    if origins & {list, tuple, set, frozenset, dict} or any(_is_model(part) for part in parts):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The parts of a union, else the annotation alone; Annotated is taken off."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    arguments = typing.get_args(annotation)
    if type(None) in arguments or typing.get_origin(annotation) is typing.Union:
        return tuple(part for argument in arguments for part in _alternatives(argument))
    return (annotation,)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _annotation(model: type[BaseModel], path: Path_) -> Any:
    """The type of the field at `path`, or None where there is none."""
    current: Any = model
    for name in path:
        models = [part for part in _alternatives(current) if _is_model(part)]
        owner = next((part for part in models if name in part.model_fields), None)
        if owner is None:
            return None
        current = owner.model_fields[name].annotation
    return current


def _describe(detail: ErrorDetails, model: type[BaseModel], tree: _Tree) -> str:
    """One line: key, value, what is allowed, where it came from."""
    path = tuple(str(part) for part in detail["loc"])
    section = _section(model)
    shown = path if not section or (path and path[0] in SHARED) else (section, *path)
    key, origin = ".".join(shown) or "settings", tree.origin(path)
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key ({origin}). {_nearest(path, model)}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{key}: is missing; set it in the YAML or as {_variable(shown)}"
    given = detail["input"]
    if isinstance(given, BaseModel | dict) or not path:
        return f"{key}: {message} ({origin})"
    value = "(hidden)" if SecretStr in _alternatives(_annotation(model, path)) else repr(given)
    return f"{key}: {value} is not allowed ({origin}): {message[:1].lower()}{message[1:]}"


def _variable(path: Path_) -> str:
    return PREFIX + "__".join(path).upper()


def _nearest(path: Path_, model: type[BaseModel]) -> str:
    owner = _annotation(model, path[:-1]) if len(path) > 1 else model
    names = sorted({name for part in _alternatives(owner) if _is_model(part) for name in part.model_fields})
    return _hint(path[-1], names)


def _hint(wrong: str, names: list[str]) -> str:
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    return f"{f'Did you mean {near[0]}? ' if near else ''}Allowed: {', '.join(names)}"
