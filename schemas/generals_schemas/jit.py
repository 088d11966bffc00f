"""A typed `njit`: compiled without the GIL and cached on disk. Needs the `fast` extra (numba)."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` with numba: no GIL, cached, IEEE arithmetic."""
    return cast("Callable[P, R]", numba.njit(nogil=True, cache=True)(function))


def jit_inline(function: Callable[P, R]) -> Callable[P, R]:
    """As `jit`, for small functions called inside kernels: inlined by the compiler."""
    return cast("Callable[P, R]", numba.njit(nogil=True, cache=True, inline="always")(function))
