"""One contract for every object store, run against a folder and a real S3 server; then what only S3 does."""

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from generals_runtime import s3_store
from generals_runtime.objects import (
    AlreadyExists,
    NotFound,
    ObjectStore,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    open_store,
)
from generals_runtime.s3_store import Patience, S3Store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path / "store" if request.param == "folder" else request.getfixturevalue("s3"))


def test_what_was_put_is_got(store: ObjectStore) -> None:
    data = bytes(range(256)) * 100
    store.put("a/b/c.bin", data)
    assert store.get("a/b/c.bin") == data
    info = store.head("a/b/c.bin")
    assert (info.key, info.size) == ("a/b/c.bin", len(data))
    assert info.modified_ms > 1_600_000_000_000


def test_an_existing_object_is_not_overwritten_unless_asked(store: ObjectStore) -> None:
    store.put("k", b"first")
    with pytest.raises(AlreadyExists):
        store.put("k", b"second")
    assert store.get("k") == b"first"
    store.put("k", b"third", if_absent=False)
    assert store.get("k") == b"third"


def test_of_many_writers_exactly_one_wins_and_the_others_are_told(store: ObjectStore) -> None:
    barrier, outcomes = threading.Barrier(8), list[str]()

    def write(number: int) -> None:
        barrier.wait()
        try:
            store.put("claim", f"writer {number}".encode())
            outcomes.append(f"writer {number}")
        except AlreadyExists:
            outcomes.append("lost")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes.count("lost") == 7
    [winner] = set(outcomes) - {"lost"}
    assert store.get("claim").decode() == winner


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound):
        store.get("none")
    with pytest.raises(NotFound):
        store.head("some/none")
    store.delete("none")
    assert list(store.list("none/")) == []


def test_keys_are_listed_in_their_order_by_any_prefix(store: ObjectStore) -> None:
    keys = ["a-b/1", "a/10", "a/9", "a/sub/1", "a0", "b", "hour=07/x.parquet"]
    for key in reversed(keys):
        store.put(key, key.encode())
    assert [info.key for info in store.list()] == keys
    assert [info.key for info in store.list("a/")] == ["a/10", "a/9", "a/sub/1"]
    assert [info.key for info in store.list("a")] == ["a-b/1", "a/10", "a/9", "a/sub/1", "a0"]
    assert [info.key for info in store.list("a/su")] == ["a/sub/1"]
    assert [info.size for info in store.list("hour=07/x")] == [len("hour=07/x.parquet")]


def test_a_deleted_object_is_gone_and_its_key_free(store: ObjectStore) -> None:
    store.put("k", b"1")
    store.delete("k")
    with pytest.raises(NotFound):
        store.get("k")
    store.put("k", b"2")
    assert store.get("k") == b"2"


@pytest.mark.parametrize(
    "key", ["", "/abs", "a//b", "../up", "a/../b", "a/", ".tmp/x", "a\\b", "new\nline", "x" * 1001]
)
def test_a_key_that_is_no_plain_relative_path_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(StoreRefused, match="is no key"):
        store.put(key, b"")


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert [info.size for info in store.list()] == [0]


def _patient(url: str) -> S3Store:
    opened = open_store(url)
    assert isinstance(opened, S3Store)
    opened._patience = Patience(first_wait_s=0.01, longest_wait_s=0.05, give_up_after_s=5)
    return opened


def test_throttling_is_waited_out(misbehaving_s3: tuple[Any, str]) -> None:
    proxy, url = misbehaving_s3
    proxy.faults = ["slow_down"] * 3
    _patient(url).put("k", b"data")
    assert proxy.writes == 4
    assert _patient(url).get("k") == b"data"


def test_a_refusal_caused_by_our_own_lost_answer_is_success(misbehaving_s3: tuple[Any, str]) -> None:
    proxy, url = misbehaving_s3
    proxy.faults = ["lost_answer"]
    _patient(url).put("k", b"data")
    assert proxy.writes == 2


def test_a_lost_answer_does_not_make_another_ones_object_ours(misbehaving_s3: tuple[Any, str]) -> None:
    proxy, url = misbehaving_s3
    _patient(url).put("k", b"theirs")
    proxy.faults = ["lost_answer"]
    with pytest.raises(AlreadyExists):
        _patient(url).put("k", b"ours")


@pytest.mark.parametrize(("fault", "error"), [("forbidden", StoreRefused), ("full", StoreFull)])
def test_what_waiting_cannot_help_is_raised_at_once(
    misbehaving_s3: tuple[Any, str], fault: str, error: type[Exception]
) -> None:
    proxy, url = misbehaving_s3
    proxy.faults = [fault]
    with pytest.raises(error):
        _patient(url).put("k", b"data")
    assert proxy.writes == 1


def test_a_server_that_stays_away_is_given_up_and_named(s3: str) -> None:
    store = S3Store("bucket", endpoint="http://127.0.0.1:9", patience=Patience(0.01, 0.02, 0.1))
    with pytest.raises(StoreUnavailable, match=r"cannot write k in s3://bucket\?endpoint=http://127\.0\.0\.1:9"):
        store.put("k", b"data")


def test_wrong_credentials_and_a_missing_bucket_are_named(
    s3: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = open_store(f"s3://none-{uuid.uuid4().hex}?endpoint={s3_endpoint}")
    with pytest.raises(StoreRefused, match="Create the bucket"):
        missing.put("k", b"")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(StoreRefused, match="no credentials"):
        open_store(s3).put("k", b"")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    # 5 MiB is the least S3 takes for a part that is not the last.
    monkeypatch.setattr(s3_store, "MULTIPART_FROM_BYTES", 6 * 1024 * 1024)
    monkeypatch.setattr(s3_store, "PART_BYTES", 5 * 1024 * 1024)


def test_a_large_object_goes_in_parts_and_does_not_overwrite_either(small_parts: None, s3: str) -> None:
    store = open_store(s3)
    data = bytes(range(256)) * (12 * 1024 * 4)
    store.put("large", data)
    assert store.get("large") == data
    with pytest.raises(AlreadyExists):
        store.put("large", data[::-1])
    assert store.get("large") == data


def test_parts_survive_throttling_and_a_lost_last_answer(small_parts: None, misbehaving_s3: tuple[Any, str]) -> None:
    proxy, url = misbehaving_s3
    data = b"x" * (11 * 1024 * 1024)
    proxy.faults = ["slow_down", "", "", "", "lost_answer"]  # a part's first try, three parts, the completion
    _patient(url).put("large", data)
    assert _patient(url).get("large") == data
