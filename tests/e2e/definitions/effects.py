"""Which test shows the effect of which field, and the definitions that these tests are about."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import TypeVar

import tests.e2e.definitions as package

Test = TypeVar("Test", bound=Callable[..., object])


def shows(path: str) -> Callable[[Test], Test]:
    """Say which field a test is about: its path from the top of the file, a definition's own from the definition."""

    def mark(test: Test) -> Test:
        test.__dict__["shows"] = path
        return test

    return mark


def modules() -> Iterator[ModuleType]:
    """Yield the test modules of this package."""
    for found in pkgutil.iter_modules(package.__path__):
        if found.name.startswith("test_"):
            yield import_module(f"{package.__name__}.{found.name}")


def shown(module: ModuleType) -> list[str]:
    """Return the fields that the tests of a module are about, in their order."""
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    return [test.shows for test in tests if hasattr(test, "shows")]


def files() -> dict[str, str]:
    """Return what the modules want to have in force, by file name."""
    texts = {module.__name__.rpartition(".")[2]: getattr(module, "DEFINITIONS", None) for module in modules()}
    return {f"{name}.yaml": text for name, text in texts.items() if text is not None}
