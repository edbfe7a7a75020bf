"""Texts that tell tokenizers apart: one strategy for all of Unicode, one for the places where they go wrong; and what
tests of both engines need."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)

_PIECES = [
    *"abzAZsStTrReEvVmMlLdD0129_",
    *" \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeff\x1c\x1f\x00",
    *".,!?/-<|>()\"'\u2019`*#=~",
    *"\u00e9\u00df\u0130\u0131\u017f\u212a\u01c5\u02b0\u03a9\u0436\u05d0\u0639\u0e2a\u0e31\u0928\u093f\u6f22\u304b\ud55c",
    *"\u00b2\u00bd\u2167\u0663\u0967\u0301\u0308\u20e3\ufe0f\u200d",
    *"\U0001f600\U0001f469\U0001f3fd\U0001f1e9\U0001d400\U00020000\U000f0000\U0010ffff\u0378\u088f\ue000",
    *("'s", "'S", "'ll", "'Re", "'\u017f", "<|endoftext|>", "\r\n", "  ", "\n\n", "//", "\u3002", "\u094d"),
]
HOSTILE_TEXT = st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)

TEXTS = ANY_TEXT | HOSTILE_TEXT

needs_compiled = pytest.mark.skipif(
    find_spec("sidecar.tokens._bpe") is None and not os.environ.get("CI"),
    reason="sidecar/tokens/_bpe.c was not compiled; with a C compiler and Python's headers, `make setup` does it",
)
"""For tests of the engine `native`; where CI is set they fail without it."""


def run_python(program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run `program` in a new interpreter, which finds this package, and return what it printed.

    Args:
        program: its source; it fails the test by raising.
        arguments: its `sys.argv[1:]`.
        environment: all its environment variables besides the path; None for none.
    """
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
