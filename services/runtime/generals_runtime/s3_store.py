"""Objects in S3 or in what speaks it.

Unusual:
- `If-None-Match: *` makes `put` refuse to overwrite. A retried request can be refused because of its own first attempt,
  whose answer was lost: after a retry an object equal to ours counts as ours.
- botocore's retries are off. There is one policy, tenacity's: exponential with jitter, for what may pass by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import boto3
import botocore.config
import botocore.exceptions
import structlog
import tenacity

from generals_runtime.object_errors import (
    AlreadyExists,
    NotFound,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from generals_runtime.objects import ObjectInfo, check_key

MULTIPART_FROM_BYTES = 64 * 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
_FULL_CODES = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "EntityTooLarge.Quota"}
_AGAIN_CODES = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout", "InternalError",
    "ServiceUnavailable", "ConditionalRequestConflict", "OperationAborted", "BadDigest",
}  # fmt: skip
R = TypeVar("R")
_log = structlog.get_logger("generals_runtime.s3")


@dataclass(frozen=True)
class Patience:
    """How long a request is tried again. Longer than a loop's watchdog allows would be no use."""

    first_wait_s: float = 0.2
    longest_wait_s: float = 15.0
    give_up_after_s: float = 60.0


class S3Store:
    """One bucket and prefix. Credentials come from where boto3 looks for them, never from the URL."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self._patience = patience or Patience()
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=self._region or "us-east-1",
            config=botocore.config.Config(
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=30,
                max_pool_connections=16,
                # Other servers than Amazon's rarely have a host name for each bucket.
                s3={"addressing_style": "path" if self._endpoint else "auto"},
            ),
        )

    @property
    def url(self) -> str:
        known = {"endpoint": self._endpoint, "region": self._region}
        query = "&".join(f"{name}={value}" for name, value in known.items() if value)
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/") + (f"?{query}" if query else "")

    def put(self, key: str, data: bytes, *, if_absent: bool = True) -> None:
        name = self._name(key)
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        if len(data) > MULTIPART_FROM_BYTES:
            self._put_in_parts(name, data, condition)
            return

        def once() -> None:
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **condition)

        self._put_unless_ours(name, data, once)

    def get(self, key: str) -> bytes:
        return self._read(self._name(key))

    def head(self, key: str) -> ObjectInfo:
        answer = self._again("look at", key, lambda: self._client.head_object(Bucket=self._bucket, Key=self._name(key)))
        return ObjectInfo(key, int(answer["ContentLength"]), _milliseconds(answer["LastModified"]))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        asked: dict[str, str] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            page = self._again("list", prefix, lambda: self._client.list_objects_v2(**asked))
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._prefix)
                yield ObjectInfo(key, int(entry["Size"]), _milliseconds(entry["LastModified"]))
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        try:
            self._again("delete", key, lambda: self._client.delete_object(Bucket=self._bucket, Key=self._name(key)))
        except NotFound:
            return

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _read(self, name: str) -> bytes:
        def once() -> bytes:
            return bytes(self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read())

        return self._again("read", name, once)

    def _put_unless_ours(self, name: str, data: bytes, once: Callable[[], None]) -> None:
        attempts = 0

        def counted() -> None:
            nonlocal attempts
            attempts += 1
            once()

        try:
            self._again("write", name, counted)
        except (AlreadyExists, NotFound):  # NotFound: an upload in parts that was completed the first time
            if attempts == 1 or self._read(name) != data:
                raise

    def _put_in_parts(self, name: str, data: bytes, condition: dict[str, str]) -> None:
        target = {"Bucket": self._bucket, "Key": name}
        upload = self._again("write", name, lambda: self._client.create_multipart_upload(**target))["UploadId"]
        target["UploadId"] = upload
        try:
            parts = [
                self._put_part(target, number, data[start : start + PART_BYTES])
                for number, start in enumerate(range(0, len(data), PART_BYTES), start=1)
            ]

            def complete() -> None:
                self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts}, **condition)

            self._put_unless_ours(name, data, complete)
        except BaseException:
            # Parts of an upload that is not ended cost money. Ending it may fail too; the first error is what counts.
            try:
                self._client.abort_multipart_upload(**target)
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
                _log.warning("could not abort an upload in parts", object=name, reason=str(error))
            raise

    def _put_part(self, target: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        answer = self._again(
            "write", target["Key"], lambda: self._client.upload_part(**target, PartNumber=number, Body=part)
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _again(self, what: str, name: str, request: Callable[[], R]) -> R:
        """Do `request`, with botocore's errors turned into ours and StoreUnavailable tried again."""

        def attempt() -> R:
            try:
                return request()
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, OSError) as error:
                raise _explained(error, f"cannot {what} {name} in {self.url}") from error

        def report(state: tenacity.RetryCallState) -> None:
            reason = state.outcome.exception() if state.outcome else None
            _log.warning("storage request is tried again", attempt=state.attempt_number, reason=str(reason))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreUnavailable),
            wait=tenacity.wait_random_exponential(self._patience.first_wait_s, self._patience.longest_wait_s),
            stop=tenacity.stop_after_delay(self._patience.give_up_after_s),
            before_sleep=report,
            reraise=True,
        )
        return retrying(attempt)


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def _explained(error: Exception, doing: str) -> StoreError:
    if isinstance(error, botocore.exceptions.ClientError):
        return _answer(error, doing)
    if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
        return StoreRefused(f"{doing}: no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role.")
    if isinstance(error, botocore.exceptions.SSLError):
        return StoreRefused(f"{doing}: TLS failed: {error}. Is the certificate's authority known (AWS_CA_BUNDLE)?")
    network = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError, OSError)
    if isinstance(
        error, (*network, botocore.exceptions.ResponseStreamingError, botocore.exceptions.IncompleteReadError)
    ):
        return StoreUnavailable(f"{doing}: {error}")
    return StoreRefused(f"{doing}: {error}")


def _answer(error: Any, doing: str) -> StoreError:
    """What an HTTP answer means. HEAD answers have no body, so the status must do where the code says nothing."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = f"{doing}: {code or status} {error.response.get('Error', {}).get('Message', '')}".rstrip()
    if status == 412 or code == "PreconditionFailed":
        return AlreadyExists(message)
    if code == "NoSuchBucket":
        return StoreRefused(f"{message}. Create the bucket, or correct the URL.")
    if code in _FULL_CODES or status == 507:
        return StoreFull(message)
    if code in _AGAIN_CODES or status == 429 or status >= 500:
        return StoreUnavailable(message)
    if status == 404:
        return NotFound(message)
    hint = ". Check the credentials and what they may do." if status in (401, 403) else ""
    return StoreRefused(message + hint)
