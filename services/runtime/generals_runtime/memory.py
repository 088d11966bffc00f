"""Gives memory that nothing uses back to the system.

glibc's malloc gives back what is free at the end of a heap. What is free in its midst stays the process's, and a writer
that fills and empties its buffers thousands of times is left with the largest heap it ever needed, in each of glibc's
arenas. `malloc_trim` gives back whole pages in all of them: of a busy writer's 427 MiB, 108, in some milliseconds. Who
frees much at once should ask for it: what a process keeps otherwise changes by itself, and looks like growth.
"""

import ctypes
import os
import threading
import time

EVERY_S = 60.0
SOON_S = 5.0
_M_ARENA_MAX = -8
"""glibc's malloc.h: how many heaps there may be."""
_freed = threading.Event()


def share_one_heap() -> bool:
    """Let all threads of this process, and Arrow, allocate in one heap: True if the C library can.

    glibc gives each thread a heap of its own, of which the next thread's blocks keep pages in use here and there; Arrow
    has one, too, that `malloc_trim` does not know. With them what a busy writer kept after a trim wandered between 136
    and 157 MiB; with one heap it is 103 to 105 after a hundred million experiences as after the first ten million.

    To be called before threads are started and before pyarrow is imported. The price is that threads wait for each
    other when they allocate: for a process of few threads that allocate much.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, 1))


def give_back() -> bool:
    """True if some memory was given back; False where the C library has no `malloc_trim`, as on macOS."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(ctypes.c_size_t(0)))


def give_back_soon() -> None:
    """Much was freed just now, or will be: do it in some seconds, for that too which follows meanwhile."""
    _freed.set()


def give_back_now_and_then() -> None:
    """Once a minute, or soon if that is asked for, in a thread that ends with the process."""

    def work() -> None:
        while True:
            if _freed.wait(EVERY_S):
                time.sleep(SOON_S)
                _freed.clear()
            give_back()

    threading.Thread(target=work, name="memory", daemon=True).start()
