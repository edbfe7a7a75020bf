"""Compiles `sidecar/resp/_wire.c` where that is possible, for an installation and for a wheel.

It is not needed: without it the same loops run in Python (`sidecar/resp/wire.py`), at the price that README.md
names. So a machine without a C compiler or without Python's headers gets a warning and everything else.
"""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("sidecar/resp/_wire.c")
MODULE = SOURCE.with_suffix(".abi3.so")
"""Beside its source, where an editable installation finds it too."""


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is about hatchling's configuration
    """Run by hatchling before it builds a wheel; an editable installation is one."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and if that works make it a wheel for this platform."""
        target = Path(self.root) / MODULE
        target.unlink(missing_ok=True)  # an old one would go on being used
        try:
            subprocess.run(_command(Path(self.root) / SOURCE, target), check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            said = getattr(problem, "stderr", "") or problem
            self.app.display_warning(f"memsidecar: {SOURCE} could not be compiled, Python does its work: {said}")
            return
        build_data["artifacts"].append(str(MODULE))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _command(source: Path, target: Path) -> list[str]:
    """Return the compiler's command line, as this Python was built: `LDSHARED` differs between Linux and macOS."""
    linker, position_independent = (str(sysconfig.get_config_var(name) or "") for name in ("LDSHARED", "CCSHARED"))
    headers = sysconfig.get_path("include")
    words = [*shlex.split(linker), *shlex.split(position_independent), "-O2", f"-I{headers}"]
    return [*words, str(source), "-o", str(target)]
