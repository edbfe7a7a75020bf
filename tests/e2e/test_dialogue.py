"""Dialogues find every difference that a client could see, and nothing else."""

from __future__ import annotations

import pytest

from tests.e2e.dialogue import Refusal, Rehearsal, Reply, in_resp2, step

STORED = {"id": "1-1", "tokens": 5, "more": False, "summary": None, "usage": 0.5}


@pytest.mark.parametrize("protocol", [2, 3])
def test_what_is_the_same_passes(protocol: int) -> None:
    """A reply of the right types in the right order is accepted, in either protocol's terms."""
    got = STORED if protocol == 3 else ["id", "1-1", "tokens", 5, "more", 0, "summary", None, "usage", "0.5"]
    Rehearsal(protocol, "k").check(step("MEMREAD m", gives=STORED), got)


@pytest.mark.parametrize(
    "got",
    [
        {**STORED, "more": 0},
        {**STORED, "tokens": 5.0},
        {**STORED, "tokens": "5"},
        {**STORED, "summary": ""},
        {**STORED, "further": 1},
        {name: value for name, value in STORED.items() if name != "summary"},
        dict(reversed(STORED.items())),
        in_resp2(STORED),
        Refusal("ERR no"),
        None,
    ],
    ids=repr,
)
def test_what_differs_fails(got: Reply) -> None:
    """Another type, a field too many or too few, or another order is a difference."""
    with pytest.raises(pytest.fail.Exception):
        Rehearsal(3, "k").check(step("MEMREAD m", gives=STORED), got)


def test_a_name_stands_for_one_thing() -> None:
    """What came first must come again, and goes into commands; a bare name stands for anything of its form."""
    rehearsal = Rehearsal(3, "k")
    rehearsal.check(step("A", gives=["<id-1>", "<id>", "<number>"]), ["5-0", "6-0", 7])
    rehearsal.check(step("A", gives=["<id-1>", "<id>", "<number>"]), ["5-0", "9-0", 8])
    assert rehearsal.words(step("MEMDEL <key>-x <id-1> <id-2>", gives=1)) == ["MEMDEL", "k-x", "5-0", "<id-2>"]
    with pytest.raises(pytest.fail.Exception):
        rehearsal.check(step("A", gives="<id-1>"), "6-0")


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ("<id>", "5"),
        ("<id>", 5),
        ("<number>", "5"),
        ("<number>", True),
        ("<number>", -1),
        ("<text>", ""),
        ("<double>", 1),
    ],
)
def test_a_name_takes_only_its_form(form: str, wrong: Reply) -> None:
    """A value of another type or form than the name says is a difference."""
    with pytest.raises(pytest.fail.Exception):
        Rehearsal(3, "k").check(step("A", gives=form), wrong)


def test_an_error_is_told_by_its_beginning() -> None:
    """The line must begin as it should, forms of names included; a reply that is no error is a difference."""
    wanted = step("A", gives=Refusal("LOCKED for <number> ms"))
    Rehearsal(3, "k").check(wanted, Refusal("LOCKED for 12 ms more"))
    for wrong in (Refusal("LOCKED for ever"), Refusal("ERR LOCKED for 12 ms"), "LOCKED for 12 ms", 1):
        with pytest.raises(pytest.fail.Exception):
            Rehearsal(3, "k").check(wanted, wrong)


def test_printed_text_is_compared_whole() -> None:
    """A name is the same throughout a text and after it, and nothing may stand behind what is wanted."""
    rehearsal = Rehearsal(2, "k")
    wanted = step("A", gives=None)
    rehearsal.check_text(wanted, "first <id-1>\nlast <id-1>", "first 5-0\nlast 5-0")
    for wrong in ("first 5-0\nlast 5-0\n", "first 5-0\nlast 5-1", "first 6-0\nlast 6-0"):
        with pytest.raises(pytest.fail.Exception):
            rehearsal.check_text(wanted, "first <id-1>\nlast <id-1>", wrong)
