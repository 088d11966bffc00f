"""A typed `njit`: compiled without the GIL and cached on disk. Needs the `fast` extra (numba).

Numba's cache knows only the date of the file a function stands in. A kernel that calls a function of another file, or
uses a constant from there, would go on running the old one after that file was edited or upgraded. So the stamp of
every cached function here covers all files of its package, and of this one, that name `generals_schemas.jit`; a module
that kernels take something from, but has no kernels, names it in its docstring.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

_MARK = b"generals_schemas.jit"
_UNCOUNTED: dict[str, Any] = {"nogil": True, "cache": True, "_nrt": False}


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` with numba: no GIL, cached, IEEE arithmetic."""
    return cast("Callable[P, R]", _stamped(numba.njit(nogil=True, cache=True)(function), function.__module__))


def jit_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As `jit`, for functions that allocate nothing: without reference counting.

    Counting is an atomic addition and subtraction for each array a function passes on, and keeps LLVM from inlining: it
    took a third of the game kernel's time. A function that allocates an array does not compile so; use `jit` for it.
    """
    compiled: Any = numba.njit(**_UNCOUNTED)(function)
    return cast("Callable[P, R]", _stamped(compiled, function.__module__))


def jit_inline(function: Callable[P, R]) -> Callable[P, R]:
    """As `jit`, for small functions called inside kernels: inlined by the compiler."""
    compiled = numba.njit(nogil=True, cache=True, inline="always")(function)
    return cast("Callable[P, R]", _stamped(compiled, function.__module__))


def _stamped(dispatcher: Any, module: str) -> Any:
    """Widen the cache's stamp. Numba has no public way; where its insides differ, its own stamp stays."""
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        packages = (module.partition(".")[0], __name__.partition(".")[0])
        cache_file._source_stamp = (cache_file._source_stamp, *map(_package_stamp, packages))
    return dispatcher


@cache
def _package_stamp(package: str) -> str:
    """A digest of all kernel sources of a top-level package."""
    spec = find_spec(package) if package != "__main__" else None
    digest = hashlib.sha256()
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for path in sorted(Path(folder).rglob("*.py")):
            text = path.read_bytes()
            if _MARK in text:
                digest.update(text)
    return digest.hexdigest()
