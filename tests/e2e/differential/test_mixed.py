"""Every sequence of the corpus with MEM commands in between. A failure names its seed, which repeats it."""

from __future__ import annotations

import pytest

from tests.e2e.differential.script import Sequence, load
from tests.e2e.differential.theatre import Theatre

SEEDS = (("1", False), ("2", True), ("3", True))
"""With False, no MEM command is in a transaction or behind a CLIENT REPLY SKIP, where it has an effect."""


@pytest.mark.parametrize("sequence", load(), ids=lambda one: one.name)
def test_nothing_else_changes(theatre: Theatre, sequence: Sequence) -> None:
    """MEM commands answer what they should where they are, and every other byte is Redis's."""
    for seed, special in SEEDS:
        _, found = theatre.compare_mixed(sequence, seed, special=special)
        assert not found, "\n".join([f"\nseed {seed!r}, special {special}:", *found])
