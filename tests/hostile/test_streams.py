"""The streams themselves: what is thrown is what it claims to be."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.table import COMMANDS
from tests.hostile.mutations import MUTATIONS
from tests.hostile.streams import CANARY, make_stream, resp

SEEDS = st.integers(0, 2**32)
SAMPLE = [make_stream(Random(seed), ours=True, mutated=False).data for seed in range(500)]


@given(seed=SEEDS, ours=st.booleans(), mutated=st.booleans())
def test_chunks_are_the_stream(seed: int, ours: bool, mutated: bool) -> None:
    """However a stream is cut, its chunks are its bytes, and none is empty."""
    stream = make_stream(Random(seed), ours=ours, mutated=mutated)
    assert b"".join(stream.chunks()) == stream.data
    assert all(stream.chunks())


@given(seed=SEEDS)
def test_a_seed_repeats_a_stream(seed: int) -> None:
    """What a finding names is enough to throw the same stream again."""
    assert make_stream(Random(seed), ours=True, mutated=True) == make_stream(Random(seed), ours=True, mutated=True)


def test_every_command_of_ours_is_thrown() -> None:
    """No MEM command is left out, and canaries sit in values."""
    thrown = b"".join(SAMPLE).upper()
    assert not [name for name in COMMANDS if name not in thrown]
    assert sum(CANARY in data for data in SAMPLE) > len(SAMPLE) // 2


def test_a_request_is_what_a_client_writes() -> None:
    """The grammar's plain form is that of the client library."""
    assert resp([b"SET", b"k", b""]) == hiredis.pack_command(("SET", "k", ""))  # type: ignore[arg-type]  # its stub means a tuple of one item


@pytest.mark.parametrize("mutation", list(dict.fromkeys(MUTATIONS)))
def test_mutations_damage(mutation: Callable[[Random, bytes], bytes]) -> None:
    """Each mutation changes nearly every command that it is given, and bears an empty one."""
    changed = sum(mutation(Random(seed), data) != data for seed, data in enumerate(SAMPLE))
    assert changed > len(SAMPLE) * 0.8
    mutation(Random(0), b"")
