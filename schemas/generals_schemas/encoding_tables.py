"""The encodings' documentation, made from their declarations."""

from collections.abc import Iterator

from generals_schemas.encodings import BASE_PLANES, Encoding, encoding_names, get_encoding
from generals_schemas.encodings.declaration import Channel

HEAD = """\
# Encodings

Made by `python -m generals_schemas.encodings`; a test says when it is out of date. Change a declaration in
`schemas/generals_schemas/encodings`, not this page.

A record stores what a player sees in packed form: its armies (u2 or u4), one bit a tile for each *stored plane*, and a
few *scalars*. `generals_client.expand` makes the *channels* of the tensor `[N, C, H, W]` from them. Every encoding
stores the planes {base}; three more are derived: `visible` = own tiles and their eight neighbours;
`neutral` = visible and not own, enemy or mountain; `fog` = not visible. In team games `own` is the team's, and a fifth
plane `mine` holds the player's own tiles. Older records also store `visible`, behind `mountain`.

How a channel is made, by kind, with `army_scale` a parameter that a collector may set (records carry those that differ
from the default):

| kind | value of a tile |
|---|---|
| plane | 1 on the plane's tiles, else 0 |
| army | min(army / army_scale, 1) on the plane's tiles, else 0 |
| log_army | min(log(1 + army) / log(1 + army_scale), 1) on the plane's tiles, else 0 |
| scalar | the scalar, the same on every tile |
"""
OWN = """\
## One of your own

An encoding is an `Encoding` of any module, named `module:attribute`. Write it into a file `small_encoding.py`:

```python
from generals_schemas.encodings import Channel, Encoding

CHANNELS = (
    Channel("own_armies", "army", "own", "armies on the team's tiles"),
    Channel("enemy_armies", "army", "enemy", "armies on the tiles of others"),
    Channel("mountains", "plane", "mountain", "mountains and obstacles"),
)
ENCODING = Encoding("small_encoding:ENCODING", CHANNELS, params={"army_scale": 500.0})
```

and say `collector.encoding: small_encoding:ENCODING`. Records carry the name, so the file's folder has to be in the
`PYTHONPATH` of the collector and of whoever makes tensors of its records. A name's channels and defaults must never
change: give the changed one another name. What a channel can be made of is in
`schemas/generals_schemas/encodings/declaration.py`.
"""


def document() -> str:
    """The page."""
    head = HEAD.format(base=", ".join(f"`{name}`" for name in BASE_PLANES))
    return "\n".join([head, *(line for name in encoding_names() for line in _section(get_encoding(name))), OWN])


def _section(encoding: Encoding) -> Iterator[str]:
    yield f"## {encoding.name}"
    yield ""
    yield f"{len(encoding.channels)} channels, {encoding.dtype}. {_stores(encoding)}"
    parameters = ", ".join(f"`{name}` = {value:g}" for name, value in encoding.params.items())
    yield f"Parameters: {parameters}." + (" Needs chunks with memory." if encoding.needs_memory else "")
    yield ""
    yield "| # | channel | kind | of | meaning |"
    yield "|---|---|---|---|---|"
    for index, channel in enumerate(encoding.channels):
        yield _row(index, channel)
    yield ""


def _stores(encoding: Encoding) -> str:
    more = encoding.planes[len(BASE_PLANES) :]
    planes = f"the base planes and {_listed(more)}" if more else "the base planes"
    return f"Stores {planes}; {_listed(encoding.scalars) if encoding.scalars else 'no scalars'}."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(index: int, channel: Channel) -> str:
    return f"| {index} | {channel.name} | {channel.kind} | {channel.of} | {channel.meaning} |"
