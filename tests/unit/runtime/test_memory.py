"""Memory that is free in the midst of a heap goes back to the system."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, time
from pathlib import Path
from generals_runtime import memory

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
HOW
print(before - resident_pages())
"""
NOW = "assert memory.give_back()"
SOON = """
memory.SOON_S = 0.1
memory.give_back_soon()
memory.give_back_now_and_then()
deadline = time.monotonic() + 20
while before - resident_pages() < 10_000 and time.monotonic() < deadline:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("how", [NOW, SOON])
def test_what_is_free_below_something_in_use_is_given_back(how: str) -> None:
    program = PROGRAM.replace("HOW", how)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(ended.stdout) * 4096 > 40_000_000


THREADS = """
import ctypes, os, threading
from generals_runtime import memory

HOW
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
together = threading.Barrier(8)

def allocate():
    together.wait()
    assert libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_stats()
print(os.environ.get("ARROW_DEFAULT_MEMORY_POOL"))
"""


def heaps_of_eight_threads(how: str) -> tuple[int, str]:
    """How many heaps glibc tells of, and which pool Arrow is to take."""
    program = THREADS.replace("HOW", how)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return ended.stderr.count("Arena "), ended.stdout.strip()


def test_all_threads_share_one_heap() -> None:
    assert heaps_of_eight_threads("assert memory.share_one_heap()") == (1, "system")
    assert heaps_of_eight_threads("")[0] > 1
