"""Compiled classes have bases that mypyc knows in every build: our own, and the standard library's.

A wheel may be built where no other package is installed. mypyc then takes a base of such a package for none at all and
lays the object out without it, and the interpreter ends with a segmentation fault.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatch_build import COMPILED

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"sidecar", *sys.stdlib_module_names}


@pytest.mark.parametrize("module", COMPILED)
def test_bases(module: str) -> None:
    """No class of a compiled module derives from one of another package."""
    assert list(_foreign_bases((ROOT / "sidecar" / module).read_text())) == []


def test_a_foreign_base_is_found() -> None:
    """However it is imported; a parameter of a base does not count."""
    source = """
import prometheus_client.registry as registry
from collections.abc import Mapping
from hiredis import Reader
class One(registry.Collector): ...
class Two(Reader): ...
class Three(Mapping[str, Reader]): ...
"""
    assert list(_foreign_bases(source)) == ["One", "Two"]


def _foreign_bases(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            packages |= {alias.asname or alias.name: (node.module or "").split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Import):
            found = ((alias.asname or alias.name.split(".")[0], alias.name.split(".")[0]) for alias in node.names)
            packages |= dict(found)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            roots = {_root(base) for base in node.bases}
            if any(packages.get(root, "sidecar") not in KNOWN for root in roots):
                yield node.name


def _root(base: ast.expr) -> str:
    while isinstance(base, ast.Attribute | ast.Subscript):
        base = base.value
    return base.id if isinstance(base, ast.Name) else ""
