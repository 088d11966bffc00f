"""Reads the experiences topic in a thread of its own, so that fetching and decoding never wait for the learner.

What is read ahead is bounded in steps. Positions are the trainer's business: only it knows what it has inserted. The
group's committed offsets are a hint for operators (lag) and for a start without a checkpoint.
"""

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from generals_client.errors import StreamError
from generals_client.positions import Position
from generals_client.reader import Delivered, ReaderStats, RecordReader, Start
from generals_runtime.errors import OperatorError

POLL_S = 0.1
FETCH_RECORDS = 64
KEEP_ALIVE_S = 10.0
"""Without room for so long one more record is read: a consumer that never polls is taken for dead by its group."""


class FeedFailed(OperatorError):
    """The experiences cannot be read; the message says why."""


class Feed:
    """Starts reading when made. `take` hands out records in the order they were read."""

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group: str,
        topic: str,
        start: Start,
        read_ahead: int,
        client_config: Mapping[str, Any],
        with_headers: bool = False,
        share: tuple[int, int] | None = None,
    ) -> None:
        """read_ahead: steps read and not yet taken, at most (but always one fetch). `share` as `RecordReader` has it.

        Raises:
            FeedFailed: there is no such topic, or the broker does not answer.
        """
        try:
            self._reader = RecordReader(
                bootstrap_servers=bootstrap_servers,
                group=group,
                topic=topic,
                start=start,
                follow=True,
                client_config=client_config,
                with_headers=with_headers,
                share=share,
            )
        except StreamError as error:
            raise FeedFailed(str(error)) from error
        self._read_ahead = read_ahead
        self._queue: deque[Delivered] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closing = False
        self._commits: list[Position] | None = None
        self._failure: BaseException | None = None
        self._lag: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Delivered | None:
        """The next record; None if none comes in time.

        Raises:
            FeedFailed, or whatever ended the reading thread; what was read before it has been handed out.
        """
        with self._changed:
            if not self._queue:
                self._changed.wait_for(lambda: self._queue or self._failure, timeout_s)
            if not self._queue:
                if isinstance(self._failure, StreamError):
                    raise FeedFailed(str(self._failure)) from self._failure
                if self._failure is not None:
                    raise self._failure
                return None
            record = self._queue.popleft()
            was_full = self._is_full
            self._waiting -= record.batch.steps
            if was_full and not self._is_full:
                self._changed.notify_all()
            return record

    @property
    def stats(self) -> ReaderStats:
        return self._reader.stats

    @property
    def assignment(self) -> tuple[int, ...]:
        """The partitions read now."""
        return tuple(self._lag)

    def lag(self) -> dict[int, int]:
        """Records not yet read, by partition, as of the last poll."""
        return self._lag

    def commit(self, positions: list[Position]) -> None:
        """Let the group's offsets follow, soon."""
        with self._changed:
            self._commits = positions

    def close(self) -> None:
        """Stop reading, commit what was asked for, leave the group."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing:
                self._put(self._reader.poll(POLL_S, self._wait_for_room()))
                self._commit()
            self._commit()
        except BaseException as error:  # handed to the trainer's thread, which raises it
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._reader.close()

    @property
    def _is_full(self) -> bool:
        return self._waiting >= self._read_ahead

    def _wait_for_room(self) -> int:
        """How many records to read next."""
        with self._changed:
            has_room = self._changed.wait_for(lambda: self._closing or not self._is_full, KEEP_ALIVE_S)
            return FETCH_RECORDS if has_room else 1

    def _put(self, records: list[Delivered]) -> None:
        self._lag = self._reader.lag()
        if records:
            with self._changed:
                self._queue.extend(records)
                self._waiting += sum(record.batch.steps for record in records)
                self._changed.notify_all()

    def _commit(self) -> None:
        with self._changed:
            positions, self._commits = self._commits, None
        if positions is not None:
            self._reader.commit(positions)
