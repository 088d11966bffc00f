"""Objects by key, in a folder or in S3: put, get, head, list, delete.

Unusual: `put` refuses to overwrite unless asked to. Exactly-once rests on that refusal, so it is atomic in both stores:
readers see a whole object or none, and of two writers one gets AlreadyExists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from generals_runtime.object_errors import (
    AlreadyExists,
    NotFound,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)

__all__ = [
    "AlreadyExists",
    "NotFound",
    "ObjectInfo",
    "ObjectStore",
    "StoreError",
    "StoreFull",
    "StoreRefused",
    "StoreUnavailable",
    "check_key",
    "check_store_url",
    "open_store",
]

_KEY = re.compile(r"[A-Za-z0-9!_.*'()=,@+~%:-]+(/[A-Za-z0-9!_.*'()=,@+~%:-]+)*")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified_ms: int


class ObjectStore(Protocol):
    """Safe to use from several threads and by several processes at once."""

    @property
    def url(self) -> str:
        """Where this is; without credentials."""

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        """Store `data` durably under `key`. With `if_absent` raises AlreadyExists instead of overwriting."""

    def get(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""

    def head(self, key: str) -> ObjectInfo:
        """What is known about an object. Raises NotFound."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in the order of their keys."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""


def is_key(key: str) -> bool:
    """Keys are relative paths that mean the same in a folder and in S3."""
    odd = any(part in (".", "..", ".tmp") for part in key.split("/"))
    return bool(_KEY.fullmatch(key)) and not odd and len(key) <= 1000


def check_key(key: str) -> str:
    """The key. Raises StoreRefused if it is none."""
    if not is_key(key):
        raise StoreRefused(f"{key!r} is no key: it must be a relative path of plain characters without . and ..")
    return key


def open_store(url: str | Path) -> ObjectStore:
    """A path or `file://` URL opens a folder, `s3://bucket/prefix` a bucket.

    `?endpoint=http://host:port` (else AWS_ENDPOINT_URL) names another server than Amazon's, `&region=` its region.
    """
    from generals_runtime.local_store import LocalStore

    if isinstance(url, Path) or "://" not in url:
        return LocalStore(Path(url))
    parts = urlsplit(check_store_url(url))
    return LocalStore(Path(unquote(parts.path))) if parts.scheme == "file" else _open_s3(parts)


def check_store_url(url: str) -> str:
    """The URL, if `open_store` knows what to make of it. Nothing is opened.

    Raises:
        StoreRefused: what is wrong with it.
    """
    if "://" not in url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("file", "s3"):
        raise StoreRefused(f"{url}: must be a path, file:///folder or s3://bucket/prefix")
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise StoreRefused(f"{url}: a file URL has three slashes, file:///folder")
    if parts.scheme == "s3":
        unknown = sorted(set(parse_qs(parts.query, keep_blank_values=True)) - {"endpoint", "region"})
        if unknown or not parts.netloc or "@" in parts.netloc:
            wrong = f"unknown {', '.join(unknown)}" if unknown else "no bucket, or credentials in the URL"
            raise StoreRefused(f"{url}: {wrong}; the form is s3://bucket/prefix?endpoint=http://host:port&region=name")
    return url


def _open_s3(parts: SplitResult) -> ObjectStore:
    from generals_runtime.s3_store import S3Store

    last = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return S3Store(
        parts.netloc, unquote(parts.path).strip("/"), endpoint=last.get("endpoint"), region=last.get("region")
    )
