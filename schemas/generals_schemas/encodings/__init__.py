"""Encodings by name: what of a player's view is stored, and which channels a reader makes of it.

An encoding is a declaration, one file each. The collector stores its bit planes and scalars; `generals_client.expand`
makes the channels. Adding one is adding a file with an `ENCODING` in it; a program's own is `module:attribute`.

A name's defaults never change: records carry only the parameters that differ from them.
"""

from importlib import import_module
from pkgutil import iter_modules

from generals_schemas.encodings.declaration import BASE_PLANES, DERIVED_PLANES, Channel, Encoding
from generals_schemas.named import attribute_named

__all__ = ["BASE_PLANES", "DERIVED_PLANES", "Channel", "Encoding", "encoding_names", "get_encoding"]


def encoding_names() -> tuple[str, ...]:
    """The names of all encodings in this package, one module each."""
    names = (module.name for module in iter_modules(__path__))
    return tuple(sorted(name for name in names if name not in ("declaration", "__main__")))


def get_encoding(name: str) -> Encoding:
    """The encoding of a name, or of `module:attribute`.

    Raises:
        KeyError: no such encoding; the message lists those there are.
    """
    if ":" in name:
        found = attribute_named("encoding", name)
    elif name in encoding_names():
        found = import_module(f"{__name__}.{name}").ENCODING
    else:
        raise KeyError(f"encoding {name!r} is unknown; there are {', '.join(encoding_names())}, or module:attribute")
    if not isinstance(found, Encoding):
        raise KeyError(f"{name!r} is no Encoding but {type(found).__name__}")
    return found
