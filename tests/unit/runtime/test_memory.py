"""Memory that is free in the midst of a heap goes back to the system."""

import subprocess
import sys

PROGRAM = """
import ctypes
from pathlib import Path
from generals_runtime.memory import give_back

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

blocks = [libc.malloc(100_000) for _ in range(500)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for block in blocks[:-1]:  # the last one holds the end of the heap
    libc.free(block)
before = resident_pages()
assert give_back()
print(before - resident_pages())
"""


def test_what_is_free_below_something_in_use_is_given_back() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert int(ended.stdout) * 4096 > 40_000_000
