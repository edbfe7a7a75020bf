"""What a log calls a memory."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from sidecar.memory.label import DIGITS, label


@pytest.mark.parametrize(
    ("definition", "instance", "text"),
    [("chat", "42", "chat#55995e18"), ("default", "ann@example.org", None), ("notes", "Zoë 🙂", None), ("a", "", None)],
)
def test_a_label(definition: str, instance: str, text: str | None) -> None:
    """It shows the definition, and of the name no more than what `sha256sum` makes of it."""
    made = label(definition, instance)
    program = shutil.which("sha256sum") or shutil.which("shasum")
    assert program is not None
    command = [program, *(["-a", "256"] if program.endswith("shasum") else [])]
    name = f"{definition}:{instance}".encode()
    digest = subprocess.run(command, input=name, capture_output=True, check=True).stdout.decode()
    assert made == f"{definition}#{digest[:DIGITS]}"
    assert text is None or made == text
