"""Compiles what every request passes, where that is possible, for an installation and for a wheel.

Two steps. What is written in C (`SOURCES`) is a few seconds of work and always done. The modules in `COMPILED` are
Python that mypyc makes C of, about a minute of work; only a wheel gets them, and every installation but an editable one
is a wheel: in a working tree the sources must be what runs.

Neither is needed: without them the same modules run as they are written, at the price that docs/speed.md names. So a
machine without a C compiler or without Python's headers gets a warning and everything else, and so does whoever asks
for it with MEMSIDECAR_PURE=1.

As a program (`python hatch_build.py`) it translates `COMPILED` in the working directory.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (Path("sidecar/resp/_wire.c"), Path("sidecar/tokens/_bpe.c"))
SUFFIX = ".abi3.so"
"""Of a module, which lies beside its source, where an editable installation finds it too."""

PURE = "MEMSIDECAR_PURE"

OPTIMISATION = "MEMSIDECAR_OPTIMISATION"
"""The C compiler's level for `COMPILED`: 2 unless told otherwise; with 0 a wheel takes half the time, to try it out."""

# What a MEMAPPEND or a MEMREAD passes from the socket to Redis and back. A class that compiled code uses should be
# among them, or each access to it costs more than in Python. None may have a class whose base is another package's:
# without that package's types, which a build need not have, mypyc takes it for one without a base, and the process
# crashes.
COMPILED = (
    "commands/append.py",
    "commands/arguments.py",
    "commands/command.py",
    "commands/messages.py",
    "commands/read.py",
    "commands/read_reply.py",
    "commands/traceparent.py",
    "memory/addressing.py",
    "memory/appending.py",
    "memory/catalogue.py",
    "memory/definition.py",
    "memory/intake.py",
    "memory/keys.py",
    "memory/message.py",
    "memory/reading.py",
    "memory/requests.py",
    "memory/results.py",
    "memory/service.py",
    "memory/tasks.py",
    "metrics/counters.py",
    "metrics/histogram.py",
    "net/connection.py",
    "net/find_identity.py",
    "net/held_budget.py",
    "net/link.py",
    "net/multiplexer.py",
    "net/turn.py",
    "resp/fence.py",
    "resp/pushes.py",
    "resp/replies.py",
    "resp/requests.py",
    "resp/watched.py",
    "session/actions.py",
    "session/context.py",
    "session/limits.py",
    "session/memories.py",
    "session/own_commands.py",
    "session/session.py",
    "session/state.py",
    "session/telemetry.py",
    "store/batch.py",
    "store/changes.py",
    "store/kept_reads.py",
    "store/memory_store.py",
    "store/scripts.py",
    "store/whole_reads.py",
    "tokens/native.py",
)

# Types of other packages may be missing where a wheel is built: what comes from them is then looked at when it runs.
MYPY_OPTIONS = ("--ignore-missing-imports", "--follow-imports=silent", "--no-warn-unused-configs", "--config-file=")


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is about hatchling's configuration
    """Run by hatchling before it builds a wheel; an editable installation is one."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and if that works make it a wheel for this platform."""
        pure = os.environ.get(PURE) == "1"
        for source in SOURCES:
            module = source.with_suffix(SUFFIX)
            if not pure and self._compile(Path(self.root) / source, Path(self.root) / module):
                build_data["artifacts"].append(str(module))
                _for_this_platform(build_data)
            else:  # an old one would go on being used
                (Path(self.root) / module).unlink(missing_ok=True)
        if not pure and version != "editable":
            self._translate(build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take away what was made only for the wheel."""
        directory = build_data.get("memsidecar_translated")
        if directory is not None:
            shutil.rmtree(directory)

    def _compile(self, source: Path, module: Path) -> bool:
        """Make a module, and put it there in one step: tests that run here meanwhile find the old or the new."""
        new = module.with_name(f"new-{module.name}")
        if not self._run(_command(source, new), str(source.relative_to(self.root))):
            new.unlink(missing_ok=True)
            return False
        new.replace(module)
        return True

    def _translate(self, build_data: dict[str, Any]) -> None:
        """Compile a copy of the package, so that no result can be left in the tree and go out of date there."""
        directory = Path(tempfile.mkdtemp(prefix="memsidecar-"))
        build_data["memsidecar_translated"] = directory
        shutil.copytree(Path(self.root) / "sidecar", directory / "sidecar", ignore=shutil.ignore_patterns("*.so"))
        if not self._run([sys.executable, str(Path(self.root) / "hatch_build.py")], "the request path", cwd=directory):
            return
        for module in (directory / "sidecar").rglob("*.so"):
            build_data["force_include"][str(module)] = str(module.relative_to(directory))
        _for_this_platform(build_data)

    def _run(self, command: list[str], what: str, cwd: Path | None = None) -> bool:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd)
        except (OSError, subprocess.CalledProcessError) as problem:
            said = "".join(getattr(problem, name, None) or "" for name in ("stdout", "stderr")) or problem
            self.app.display_warning(f"memsidecar: {what} could not be compiled, Python does its work: {said}")
            return False
        return True


def _for_this_platform(build_data: dict[str, Any]) -> None:
    build_data["pure_python"] = False
    build_data["infer_tag"] = True


def _command(source: Path, target: Path) -> list[str]:
    """Return the compiler's command line, as this Python was built: `LDSHARED` differs between Linux and macOS."""
    linker, position_independent = (str(sysconfig.get_config_var(name) or "") for name in ("LDSHARED", "CCSHARED"))
    headers = sysconfig.get_path("include")
    words = [*shlex.split(linker), *shlex.split(position_independent), "-O2", f"-I{headers}"]
    return [*words, str(source), "-o", str(target)]


def translate() -> None:
    """Make extension modules of `COMPILED`, beside them, below the working directory."""
    from mypyc.build import mypycify
    from setuptools import setup

    level = os.environ.get(OPTIMISATION, "2")
    if level not in ("0", "1", "2", "3"):
        raise SystemExit(f"{OPTIMISATION} is '{level}'; it takes 0, 1, 2 or 3")
    sources = [f"sidecar/{module}" for module in COMPILED]
    extensions = mypycify([*MYPY_OPTIONS, *sources], opt_level=level, debug_level="0", group_name="sidecar._native")
    setup(name="memsidecar", ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])


if __name__ == "__main__":
    translate()
