"""Which partition a game lies in: Kafka's own hash of its id, computed here.

A game keeps its partition from its first chunk even if the topic grows meanwhile, so the engine names partitions
itself.
"""

from functools import lru_cache

_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C
_U32 = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2 as Kafka's Java client computes it, unsigned."""
    value = _SEED ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _U32
        word = (word ^ word >> 24) * _MULTIPLIER & _U32
        value = value * _MULTIPLIER & _U32 ^ word
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _U32
    value = (value ^ value >> 13) * _MULTIPLIER & _U32
    return value ^ value >> 15


@lru_cache(maxsize=8192)  # a game asks once a chunk
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that every Kafka client with murmur2 would send `key` to."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
