"""What runs: sources in a working tree, and in a wheel what was compiled of them (`make test` runs this in both)."""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import sidecar
from hatch_build import COMPILED

PACKAGE = Path(sidecar.__file__).parent
IN_A_WHEEL = PACKAGE.parent.name == "compiled"  # where the Makefile unpacks it


@pytest.mark.parametrize("module", COMPILED)
def test_what_runs(module: str) -> None:
    """Each module of the request path is the compiled one in a wheel, and the source that can be edited elsewhere."""
    found = import_module(f"sidecar.{module.removesuffix('.py').replace('/', '.')}").__file__
    assert found is not None
    assert Path(found).is_relative_to(PACKAGE)
    assert found.endswith(tuple(EXTENSION_SUFFIXES) if IN_A_WHEEL else ".py")


def test_all_is_there() -> None:
    """A wheel has the sources, too, which is what a traceback shows."""
    assert all((PACKAGE / module).exists() for module in COMPILED)
