"""One item ahead: the next is made in a thread while the last is used. For work that lets go of the GIL."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class _End:
    """What comes after the last item."""


_END = _End()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items. At most one is waiting, so two exist at a time; an error is raised when its item is asked for."""
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(next, source, _END)
        while not isinstance(item := coming.result(), _End):
            coming = pool.submit(next, source, _END)
            yield item
