"""Where MEM commands are mixed in: often, everywhere, repeatably, and not where a sequence says no."""

from __future__ import annotations

from tests.e2e.differential.kinds import KINDS
from tests.e2e.differential.mixing import Mix, Slot, collapse, expected, mix
from tests.e2e.differential.script import load, parse
from tests.e2e.differential.stage import Heard, Transcript
from tests.e2e.differential.test_mixed import SEEDS


def test_the_seeds_mix_enough() -> None:
    """Over the whole corpus every kind of MEM command is sent, hundreds of times in all, dozens in transactions."""
    mixes = [mix(sequence, seed, special=special) for sequence in load() for seed, special in SEEDS]
    kinds = [kind for one in mixes for kind in one.kinds]
    assert len(kinds) > 2_000
    assert all(kind in kinds for kind in KINDS)
    assert sum(place.special for one in mixes for place in one.places) > 50


def test_a_seed_repeats_itself() -> None:
    """The same seed gives the same MEM commands at the same places, another one others."""
    sequence = load()[0]
    assert mix(sequence, "1", special=True) == mix(sequence, "1", special=True)
    assert mix(sequence, "1", special=True).commands() != mix(sequence, "2", special=True).commands()


def test_what_a_sequence_forbids() -> None:
    """@atomic keeps transactions free, @only other connections, @quiet everything that Redis would notice."""
    text = "a: PING\nb: PING\na: MULTI\na: PING\na: EXEC\na: PING\nb: PING\n"
    for seed in range(50):
        for declaration in ("@atomic", "@only b", "@quiet"):
            (sequence,) = parse("group", f"=== title\n{declaration}\n{text}")
            mixed = mix(sequence, str(seed), special=True)
            assert declaration != "@atomic" or not mixed.special
            assert declaration != "@only b" or {place.connection for place in mixed.places} <= {"b"}
            assert declaration != "@quiet" or all(kind.local for kind in mixed.kinds)


def test_the_reference_tells_the_state() -> None:
    """A stand-in that ran, was queued, was refused or not heard becomes the slot, or none, that it stands for."""
    unknown = [b"-ERR unknown command 'standin%04d'\r\n" % number for number in range(4)]
    refusal = b"-ERR Can't execute 'echo': only this\r\n"
    heard = [b"$11\r\nstandin0000\r\n", unknown[0], b"+OK\r\n", b"+QUEUED\r\n", unknown[1], refusal, unknown[2]]
    heard += [b":1\r\n", unknown[3], b"%1\r\n$5\r\nproto\r\n:3\r\n", b"$11\r\nstandin0000\r\n", unknown[0]]
    reference = Transcript({"a": Heard(heard)}, [{"a": (2, False)}, {"a": (len(heard), True)}])
    streams, pace = collapse(reference)
    protocol_3 = b"%1\r\n$5\r\nproto\r\n:3\r\n"
    assert streams["a"] == [
        Slot(0, 2, None),
        b"+OK\r\n",
        Slot(1, 2, b"+QUEUED\r\n"),
        Slot(2, 2, refusal),
        b":1\r\n",
        protocol_3,
        Slot(0, 3, None),
    ]
    assert pace == [{"a": (1, False)}, {"a": (7, True)}]


def test_what_is_expected_in_a_slot() -> None:
    """A slot wants the reply of its command, in its state and its protocol."""
    kind = next(kind for kind in KINDS if kind.name == "MEMCLEAR")
    mixed = Mix("seed", [], [kind])
    assert expected(Slot(0, 2, None), mixed, users=False).fullmatch(b":0\r\n")
    assert not expected(Slot(0, 2, None), mixed, users=False).fullmatch(b"-NOPERM no\r\n")
    assert expected(Slot(0, 2, None), mixed, users=True).fullmatch(b"-NOPERM no\r\n")
    refused = expected(Slot(0, 2, b"-ERR Can't execute 'echo': no\r\n"), mixed, users=False)
    assert refused.fullmatch(b"-ERR Can't execute 'memclear': no\r\n")
    queued = expected(Slot(0, 2, b"+QUEUED\r\n"), mixed, users=False)
    assert queued.fullmatch(b"-ERR 'memclear' cannot be part of a transaction; send it before MULTI\r\n")
    assert not queued.fullmatch(b"+QUEUED\r\n")
