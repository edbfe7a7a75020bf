"""The import rules of `sidecar/`, read from the syntax trees of its sources; nothing is imported for it.

The counterpart is the tour of the source in the README. The tables below are the rules: to add a part, add
its row to `MAY_IMPORT`. Imports count wherever they stand, in a function or under TYPE_CHECKING too, because
a part that names another knows it. What is not seen: a module name computed at run time.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sidecar"

# Which other parts of the package a part may import. Every part may import itself and the version.
_DOMAIN = {"errors", "memory"}
_BELOW_APP = {
    *_DOMAIN,
    "commands",
    "config",
    "flush",
    "logs",
    "metrics",
    "net",
    "privacy",
    "resp",
    "session",
    "store",
    "templates",
    "temporal",
    "tokens",
    "tracing",
    "transfer",
}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "memory": {"errors"},
    "metrics": {"errors"},
    "privacy": _DOMAIN,
    "templates": {"errors"},
    "resp": {"errors"},
    "commands": {"errors", "memory", "resp"},
    "session": {"commands", "errors", "memory", "resp"},
    "store": _DOMAIN,
    "tokens": {"errors"},
    "flush": _DOMAIN | {"metrics", "store"},
    "tracing": _DOMAIN,
    "temporal": _DOMAIN | {"flush", "metrics", "store"},
    "transfer": _DOMAIN | {"commands", "store"},
    # The store owns the port `Pipe` and the scripts; `net.multiplexer` implements the one and sends the others.
    "net": _DOMAIN | {"commands", "metrics", "resp", "session", "store"},
    # A process of its own, and so a composition root of its own; `app` knows it for what it is started with.
    "deputy": _DOMAIN | {"flush", "logs", "net", "store", "tokens"},
    "config": _BELOW_APP - {"config", "transfer"},
    "logs": set(),
    "app": _BELOW_APP | {"deputy"},
    "dev": _BELOW_APP | {"app"},
    "cli": _BELOW_APP | {"app", "dev"},
    "__main__": {"cli"},
}

# Modules that only the named parts may import.
ONLY_IN: dict[str, set[str]] = {
    "tiktoken": {"tokens"},
    "jinja2": {"templates"},
    "re2": {"privacy"},
    "opentelemetry": {"tracing"},
    "temporalio": {"temporal"},
    "socket": {"net", "app", "dev"},
    "uvloop": {"net", "app", "cli", "dev"},
    "sidecar.config": {"config", "app", "cli", "dev"},
}

# Parts whose code decides and never waits: no asyncio, no coroutine.
PURE_PARTS = {"resp", "commands", "session", "memory", "privacy", "templates"}
# These drive the ports, and a port is where the domain waits for the world.
NOT_PURE = {
    f"sidecar/memory/{name}.py" for name in ("service", "tasks", "appending", "reading", "flushing", "health", "ports")
}

STDLIB_ONLY_PARTS = {"memory"}

# Temporal's sandbox imports the workflow anew for each run, and with it the packages above it.
ONLY_THESE_IMPORTS: dict[str, set[str]] = {
    "sidecar/__init__.py": set(),
    "sidecar/temporal/__init__.py": set(),
    "sidecar/temporal/sweep_workflow.py": {"temporalio", "sidecar.temporal.messages", "datetime"},
    "sidecar/temporal/workflow.py": {
        "temporalio",
        "sidecar.temporal.messages",
        "asyncio",
        "dataclasses",
        "datetime",
    },
}

# Names that say nothing about what a file holds, so that everything ends up in it.
NAMES_OF_NOTHING = {"util", "utils", "helper", "helpers", "common", "misc", "base", "manager"}

# The aim is 400; the margin spares a split for the sake of a few lines.
MAX_LINES = 450

_COROUTINE_SYNTAX = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


@dataclass(frozen=True)
class Source:
    """A source file: its path from the repository root, and its text."""

    path: PurePosixPath
    text: str

    @property
    def part(self) -> str | None:
        """The part of the package it belongs to; None outside the package and for its own module."""
        if self.path.parts[0] != PACKAGE or str(self.path) == f"{PACKAGE}/__init__.py":
            return None
        return self.path.parts[1].removesuffix(".py")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and absolute dotted name of everything imported; `from a import b` is `a.b`."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = self._absolute(node)
                found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
            elif isinstance(node, ast.Call) and _is_import_call(node.func):
                names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
                found += [(node.lineno, name) for name in names if isinstance(name, str)]
        return [(line, name) for line, name in found if not _within(name, "__future__")]

    def _absolute(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        package = self.path.parts[: -node.level]
        return ".".join([*package, *([node.module] if node.module else [])])


def _is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _imported_part(name: str) -> str | None:
    """The part of the package that an import reaches; None for other packages and the version."""
    if not _within(name, PACKAGE) or name in {PACKAGE, f"{PACKAGE}.__version__"}:
        return None
    return name.split(".")[1]


def broken_arrows(source: Source) -> Iterator[str]:
    part = source.part
    if part is None:
        return
    if part not in MAY_IMPORT:
        yield f"the part {part!r} has no row in MAY_IMPORT: decide what it may know"
        return
    for line, name in source.imports:
        target = _imported_part(name)
        if target is not None and target != part and target not in MAY_IMPORT[part]:
            yield f"line {line}: {part} must not import {target} ({name})"


def strayed_imports(source: Source) -> Iterator[str]:
    if source.path.parts[0] != PACKAGE:
        return
    for line, name in source.imports:
        for module, parts in ONLY_IN.items():
            if _within(name, module) and source.part not in parts:
                yield f"line {line}: only {', '.join(sorted(parts))} may import {module}"


def impurities(source: Source) -> Iterator[str]:
    if source.part not in PURE_PARTS or str(source.path) in NOT_PURE:
        return
    for line, name in source.imports:
        if _within(name, "asyncio"):
            yield f"line {line}: imports asyncio, but this module decides and never waits"
    for node in ast.walk(source.tree):
        if isinstance(node, _COROUTINE_SYNTAX):
            yield f"line {node.lineno}: {type(node).__name__}, but this module decides and never waits"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield f"line {node.target.lineno}: async comprehension, but this module decides and never waits"


def third_party_imports(source: Source) -> Iterator[str]:
    if source.part not in STDLIB_ONLY_PARTS:
        return
    for line, name in source.imports:
        top = name.split(".")[0]
        if top != PACKAGE and top not in sys.stdlib_module_names:
            yield f"line {line}: {source.part} imports nothing outside the standard library ({name})"


def sandbox_breakers(source: Source) -> Iterator[str]:
    allowed = ONLY_THESE_IMPORTS.get(str(source.path))
    if allowed is None:
        return
    for line, name in source.imports:
        if not any(_within(name, module) for module in allowed):
            yield f"line {line}: may import only {', '.join(sorted(allowed)) or 'nothing'} ({name})"


def shapeless_files(source: Source) -> Iterator[str]:
    for name in source.path.with_suffix("").parts:
        if name.strip("_") in NAMES_OF_NOTHING:
            yield f"the name {name!r} says nothing about what is in it"
    lines = len(source.text.splitlines())
    if lines > MAX_LINES:
        yield f"{lines} lines, more than {MAX_LINES}: it holds two ideas"


PYTHON_RULES = (broken_arrows, strayed_imports, impurities, third_party_imports, sandbox_breakers)


def violations(source: Source) -> list[str]:
    """What a file breaks, one sentence each, with its path in front."""
    rules = (shapeless_files, *(PYTHON_RULES if source.path.suffix == ".py" else ()))
    return [f"{source.path}: {text}" for rule in rules for text in rule(source)]


def sources() -> list[Source]:
    """Every Python and Lua file of the project."""
    files = (f for top in (PACKAGE, "tests", "benchmarks") for f in sorted((ROOT / top).rglob("*.*")))
    return [
        Source(PurePosixPath(f.relative_to(ROOT).as_posix()), f.read_text(encoding="utf-8"))
        for f in files
        if f.suffix in {".py", ".lua"}
    ]


def test_the_sources_keep_the_rules() -> None:
    """No file of the project breaks an import rule, has an empty name or holds two ideas."""
    broken = [text for source in sources() for text in violations(source)]
    assert not broken, "\n" + "\n".join(broken)


def test_the_check_reads_the_whole_tree() -> None:
    """The files that the rules are about are among those that are read."""
    paths = {str(source.path) for source in sources()}
    assert {"sidecar/__init__.py", "tests/test_architecture.py"} <= paths
    assert {f.name for f in (ROOT / PACKAGE).iterdir() if (f / "__init__.py").exists()} <= {
        source.part for source in sources()
    }


def test_arrows_point_down_only() -> None:
    """The parts that may import one another form no cycle."""
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert set(order) == set(MAY_IMPORT)


BROKEN = [
    ("sidecar/resp/replies.py", "import asyncio", "imports asyncio"),
    ("sidecar/resp/replies.py", "from asyncio import sleep", "imports asyncio"),
    ("sidecar/session.py", "async def answer(): ...", "AsyncFunctionDef"),
    ("sidecar/session/state.py", "async def f():\n    async with x: ...", "AsyncWith"),
    ("sidecar/commands/read.py", "async def f():\n    return [x async for x in y]", "async comprehension"),
    ("sidecar/memory/plan.py", "async def f():\n    await g()", "line 2: Await"),
    ("sidecar/memory/service.py", "import msgspec", "outside the standard library"),
    ("sidecar/memory/plan.py", "from sidecar.store import scripts", "memory must not import store"),
    ("sidecar/memory/plan.py", "from sidecar import tokens", "memory must not import tokens"),
    ("sidecar/memory/plan.py", "from ..flush.names import flush_id", "memory must not import flush"),
    ("sidecar/memory/plan.py", "from .. import net", "memory must not import net"),
    ("sidecar/memory/__init__.py", "from ..store import scripts", "memory must not import store"),
    ("sidecar/resp/requests.py", "import sidecar.memory.message", "resp must not import memory"),
    ("sidecar/session.py", "def f():\n    import sidecar.net", "line 2: session must not import net"),
    ("sidecar/store/locks.py", "if TYPE_CHECKING:\n    from sidecar.flush import steps", "import flush"),
    ("sidecar/flush/steps.py", "importlib.import_module('sidecar.net.server')", "flush must not import net"),
    ("sidecar/app.py", "from sidecar.cli import main", "app must not import cli"),
    ("sidecar/memory/message.py", "import tiktoken", "only tokens may import tiktoken"),
    ("sidecar/commands/count.py", "from tiktoken import Encoding", "only tokens may import tiktoken"),
    ("sidecar/flush/steps.py", "import temporalio.client", "only temporal may import temporalio"),
    ("sidecar/temporal/worker.py", "import uvloop", "may import uvloop"),
    ("sidecar/store/scripts.py", "from socket import AF_INET", "may import socket"),
    ("sidecar/__main__.py", "import socket", "may import socket"),
    ("sidecar/net/server.py", "from sidecar.config import Settings", "may import sidecar.config"),
    ("sidecar/temporal/workflow.py", "import redis", "may import only"),
    ("sidecar/temporal/workflow.py", "from sidecar.temporal.activities import X", "may import only"),
    ("sidecar/temporal/workflow.py", "from . import activities", "may import only"),
    ("sidecar/temporal/__init__.py", "from .worker import run", "may import only nothing"),
    ("sidecar/telepathy/__init__.py", "", "no row in MAY_IMPORT"),
    ("sidecar/net/utils.py", "", "says nothing"),
    ("tests/support/_helpers.py", "", "says nothing"),
    ("sidecar/common/read.py", "", "says nothing"),
    ("sidecar/store/lua/base.lua", "-- not Python", "says nothing"),
    ("tests/net/test_server.py", "pass\n" * (MAX_LINES + 1), "451 lines"),
]


@pytest.mark.parametrize(("path", "text", "complaint"), BROKEN)
def test_a_violation_is_found(path: str, text: str, complaint: str) -> None:
    """Each rule finds the one thing that is wrong with a file that breaks it."""
    found = violations(Source(PurePosixPath(path), text))
    assert any(complaint in sentence for sentence in found), found


ALLOWED = [
    ("sidecar/__init__.py", "from __future__ import annotations\n__version__ = '0.1.0'"),
    ("sidecar/metrics.py", "import prometheus_client\nfrom sidecar import __version__"),
    (
        "sidecar/resp/requests.py",
        "import hiredis\nfrom sidecar.errors import ProtocolError\nfrom . import fence",
    ),
    ("sidecar/memory/ports.py", "import asyncio\nclass Store:\n    async def append(self): ..."),
    ("sidecar/memory/service.py", "from .plan import plan\nasync def f():\n    await g()"),
    ("sidecar/tokens/reference.py", "import tiktoken"),
    ("sidecar/net/server.py", "import asyncio, socket, uvloop\nfrom sidecar.session import Session"),
    ("sidecar/dev/probes.py", "import socket\nfrom ..config import Settings"),
    (
        "sidecar/temporal/workflow.py",
        "import asyncio\nfrom datetime import timedelta\nfrom temporalio import workflow\n"
        "with workflow.unsafe.imports_passed_through():\n    from sidecar.temporal.messages import Flush",
    ),
    ("sidecar/temporal/workflow.py", "from . import messages\nfrom .messages import Flush"),
    ("sidecar/cli.py", "from sidecar import app, config, dev"),
    ("tests/net/test_server.py", "import socket\nfrom sidecar.config import Settings\n" * (MAX_LINES // 2)),
    ("sidecar/store/lua/append.lua", "import is not a word of Lua"),
]


@pytest.mark.parametrize(("path", "text"), ALLOWED)
def test_what_is_allowed_passes(path: str, text: str) -> None:
    """A file that keeps the rules is not complained about."""
    assert violations(Source(PurePosixPath(path), text)) == []
