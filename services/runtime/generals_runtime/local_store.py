"""Objects as files below a folder.

Unusual: an object is written under `.tmp/`, synced, and then *linked* to its name: a link, unlike a rename, fails when
the name is taken, and unlike O_EXCL it never shows a half-written file. The folders on the way are synced too; after
`put` returns the object survives a power cut. `.tmp/` is not listed; what crashes left there is swept an hour later.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from generals_runtime.object_errors import AlreadyExists, NotFound, StoreFull, StoreRefused, StoreUnavailable
from generals_runtime.objects import ObjectInfo, check_key, is_key

_TEMPORARY = ".tmp"
_STALE_S = 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
    errno.EOPNOTSUPP,
)  # fmt: skip
_AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.EAGAIN, errno.EMFILE)


class LocalStore:
    """Safe among processes that share the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self._temporary = self._root / _TEMPORARY
        self._sweep()

    @property
    def url(self) -> str:
        return str(self._root)

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        target = self._root / check_key(key)
        temporary = self._temporary / uuid.uuid4().hex
        with self._explained("write", target):
            _make_folder(self._temporary)
            _make_folder(target.parent)
            try:
                _write(temporary, data)
                if if_absent:
                    os.link(temporary, target)
                else:
                    temporary.replace(target)
            except FileExistsError:
                raise AlreadyExists(f"{target} exists already") from None
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)

    def get(self, key: str) -> bytes:
        with self._explained("read", path := self._root / check_key(key)):
            return path.read_bytes()

    def head(self, key: str) -> ObjectInfo:
        with self._explained("look at", path := self._root / check_key(key)):
            status = path.stat()
        return ObjectInfo(key, status.st_size, status.st_mtime_ns // 1_000_000)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        above = f"{folder}/" if folder else ""
        yield from self._walk(self._root / folder, above, prefix)

    def delete(self, key: str) -> None:
        with self._explained("delete", path := self._root / check_key(key)), contextlib.suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)

    def _walk(self, folder: Path, above: str, prefix: str) -> Iterator[ObjectInfo]:
        with self._explained("list", folder):
            try:
                with os.scandir(folder) as entries:
                    found = [(f"{above}{entry.name}", entry) for entry in entries]
            except (FileNotFoundError, NotADirectoryError):
                return
            # A folder sorts by its name with the slash, as its objects' keys do in S3.
            named = [(f"{key}/" if entry.is_dir() else key, entry) for key, entry in found]
        for key, entry in sorted(named, key=lambda item: item[0].encode()):
            if key == f"{_TEMPORARY}/":
                continue
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(folder / entry.name, key, prefix)
            elif key.startswith(prefix) and is_key(key):  # somebody's own files may lie there too
                with contextlib.suppress(NotFound):  # deleted while we list
                    yield self.head(key)

    @contextlib.contextmanager
    def _explained(self, what: str, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"{path} does not exist") from None
        except OSError as error:
            message = f"cannot {what} {path}: {error.strerror}"
            if error.errno in _FULL:
                raise StoreFull(f"{message}. Make room.") from None
            if error.errno in _REFUSED:
                raise StoreRefused(
                    f"{message}. The folder must be readable and writable, and its file system must support hard links."
                ) from None
            if error.errno in _AWAY:
                raise StoreUnavailable(message) from None
            raise

    def _sweep(self) -> None:
        oldest = time.time() - _STALE_S
        with (
            self._explained("look into", self._temporary),
            contextlib.suppress(FileNotFoundError),
            os.scandir(self._temporary) as entries,
        ):
            for entry in entries:
                if entry.is_file() and entry.stat().st_mtime < oldest:
                    Path(entry.path).unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError:  # though what is above it is there: so says /proc
        raise StoreRefused(
            f"cannot make the folder {folder}: its file system does not allow new folders there"
        ) from None
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
