"""The folder store: what a crash, a full disk and a wrong place do to it."""

import errno
import os
import time
from pathlib import Path

import pytest

from generals_runtime.local_store import LocalStore
from generals_runtime.objects import NotFound, StoreFull, StoreRefused, StoreUnavailable, open_store


def test_a_disk_that_is_full_loses_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.put("before", b"1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreFull, match="No space left"):
            store.put("after", b"2")
    assert [info.key for info in store.list()] == ["before"]
    assert list((tmp_path / ".tmp").iterdir()) == []
    store.put("after", b"2")


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EACCES, StoreRefused), (errno.EROFS, StoreRefused), (errno.EIO, StoreUnavailable)]
)
def test_a_failing_disk_is_told_apart_from_a_forbidden_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fails(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(error, match=str(tmp_path)):
        LocalStore(tmp_path).put("k", b"")


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"")
    with pytest.raises(StoreRefused, match="cannot write"):
        store.put("a/b", b"")


def test_a_place_where_no_folder_can_be_made_is_refused_and_named() -> None:
    with pytest.raises(StoreRefused, match="cannot make the folder /proc/archive"):
        LocalStore(Path("/proc/archive")).put("claim", b"")


def test_what_a_crash_left_is_not_listed_and_is_swept_when_old(tmp_path: Path) -> None:
    (tmp_path / ".tmp").mkdir()
    young, old = tmp_path / ".tmp" / "young", tmp_path / ".tmp" / "old"
    for file in (young, old):
        file.write_bytes(b"half")
    an_hour_ago = time.time() - 3700
    os.utime(old, (an_hour_ago, an_hour_ago))
    assert list(LocalStore(tmp_path).list()) == []
    assert young.exists()
    assert not old.exists()


def test_the_same_folder_is_opened_by_path_and_by_url(tmp_path: Path) -> None:
    open_store(tmp_path / "a b").put("k", b"1")
    assert open_store(f"file://{tmp_path}/a%20b").get("k") == b"1"
    with pytest.raises(NotFound, match=f"{tmp_path}/a b/none does not exist"):
        open_store(str(tmp_path / "a b")).get("none")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://host/x", "must be a path"),
        ("file://host/x", "three slashes"),
        ("s3:///prefix", "no bucket"),
        ("s3://key:secret@bucket/x", "credentials in the URL"),
        ("s3://bucket/x?endpont=http://h", "unknown endpont"),
    ],
)
def test_a_wrong_url_is_refused_with_the_right_form(url: str, complaint: str) -> None:
    with pytest.raises(StoreRefused, match=complaint):
        open_store(url)


def test_files_of_somebody_else_are_passed_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("folder/object.bin", b"ours")
    (tmp_path / "my notes.txt").write_text("theirs")
    (tmp_path / "über").mkdir()
    (tmp_path / "über" / "object.bin").write_text("theirs")
    assert [info.key for info in store.list()] == ["folder/object.bin"]
