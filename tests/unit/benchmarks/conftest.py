"""Benchmarks are programs beside the packages: a test gets one as a module by name."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """`program("encode")`: the module, as its neighbours import it."""

    def load(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(BENCHMARKS)
        monkeypatch.syspath_prepend(BENCHMARKS / "peers")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load
