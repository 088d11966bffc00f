"""A disk without a free byte: files can be written over, truncated and removed, but not grow."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_write = os.write


@contextmanager
def full_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", _write_without_room)
        yield


def _write_without_room(descriptor: int, content: bytes) -> int:
    size = os.fstat(descriptor).st_size
    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    at = size if appends else os.lseek(descriptor, 0, os.SEEK_CUR)
    if at + len(content) > size:
        raise OSError(errno.ENOSPC, "No space left on device")
    return _write(descriptor, content)
