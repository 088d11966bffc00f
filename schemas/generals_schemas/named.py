"""Things of a program's own, named `module:attribute` in a configuration."""

from importlib import import_module
from typing import Any


def attribute_named(what: str, name: str) -> Any:
    """What `module:attribute` names. what: for the message, `reward`, say.

    Raises:
        KeyError: it cannot be had; the message says why.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # somebody's module: it may raise anything when it is imported
        raise KeyError(f"{what} {name!r}: {error}") from error
