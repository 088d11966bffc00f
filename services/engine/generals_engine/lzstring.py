"""Decompresses LZString, the format in which the site stores recorded games.

An LZ78 over UTF-16 code units. The stream is read bit by bit, each byte from its highest bit, but every number in it is
written lowest bit first. Codes 0 and 1 bring a new character of 8 or 16 bits, 2 ends the text, the others name an entry
of the dictionary, which grows by one entry a code; the codes grow by a bit whenever it could overflow them.
The packages there are for this do not read bytes, and are no longer kept.
"""

NEW_BYTE, NEW_CHARACTER, END = 0, 1, 2
MOST_CHARACTERS = 1 << 26
"""A recorded game has about 2^17. Anything near this is a bomb."""


class BadCompression(ValueError):
    """Bytes that are no LZString."""


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, count: int) -> int:
        """The next number of `count` bits."""
        bits = self._bits[self._at : self._at + count]
        if len(bits) < count:
            raise BadCompression("ends in the middle of its text")
        self._at += count
        return int(bits[::-1], 2)


class _Dictionary:
    """Entries by code, and how many bits a code has now."""

    def __init__(self) -> None:
        self.entries = ["", "", ""]
        self.bits = 2
        self._room = 1

    def add(self, entry: str) -> None:
        self.entries.append(entry)
        self.count_code()

    def count_code(self) -> None:
        """One more code is possible; when their number reaches a power of two, codes grow."""
        self._room -= 1
        if self._room == 0:
            self._room = 1 << self.bits
            self.bits += 1


def decompress(data: bytes) -> str:
    """The text. Characters beyond UTF-16's first plane come as pairs of surrogates.

    Raises:
        BadCompression: the bytes are no LZString.
    """
    bits, dictionary = _Bits(data), _Dictionary()
    parts: list[str] = []
    last, length = "", 0
    while True:
        entry = _next_entry(bits, dictionary, last)
        if entry is None:
            return "".join(parts)
        length += len(entry)
        if length > MOST_CHARACTERS:
            raise BadCompression(f"holds more than {MOST_CHARACTERS} characters")
        parts.append(entry)
        if last:
            dictionary.add(last + entry[0])
        last = entry


def _next_entry(bits: _Bits, dictionary: _Dictionary, last: str) -> str | None:
    code = bits.take(dictionary.bits)
    if code == END:
        return None
    if code in (NEW_BYTE, NEW_CHARACTER):
        character = chr(bits.take(8 if code == NEW_BYTE else 16))
        dictionary.add(character)
        return character
    if code < len(dictionary.entries):
        return dictionary.entries[code]
    if code == len(dictionary.entries) and last:
        return last + last[0]
    raise BadCompression(f"names entry {code} of {len(dictionary.entries)}")
