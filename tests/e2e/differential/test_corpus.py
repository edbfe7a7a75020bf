"""Every sequence of the corpus, on Redis directly and through a sidecar."""

from __future__ import annotations

import pytest

from tests.e2e.differential.script import Sequence, load
from tests.e2e.differential.theatre import Theatre

SEQUENCES = load()


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.name)
def test_the_same_bytes(theatre: Theatre, sequence: Sequence) -> None:
    """Apart from ids, times and addresses, no client of the sequence can tell the sidecar from Redis."""
    found = theatre.compare(sequence)
    assert not found, "\n" + "\n".join(found)


def test_the_corpus_is_large_enough() -> None:
    """There are at least 200 sequences, and no two have the same name."""
    names = [sequence.name for sequence in SEQUENCES]
    assert len(names) == len(set(names)) >= 200
