"""Which commands of a connection may run at the same time: none overtakes another one on the same memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.table import COMMANDS
from sidecar.session.actions import Ticket
from sidecar.session.memories import BusyMemories
from tests.support.addressing import addressing

resolve = addressing().resolve


def ticket(line: str) -> Ticket:
    """Return the ticket of a command, as a session makes it."""
    name, *arguments = line.split()
    command = COMMANDS[name.encode()]
    request = command.request([argument.encode() for argument in arguments], resolve)
    return Ticket(command, request, 0.0, size=0, silent=False)


def test_appends_pile_up() -> None:
    """Appends to one memory run together, because the store keeps their order; a read waits for all of them."""
    busy = BusyMemories()
    appends = [ticket("MEMAPPEND a user hi") for _ in range(3)]
    read = ticket("MEMREAD a")
    assert all(busy.admit(each) for each in appends)
    for each in appends:
        assert not busy.admit(read)
        busy.release(each)
    assert busy.admit(read)


def test_what_is_no_append_is_alone() -> None:
    """Behind a read, a clear or a write no append starts; on another memory everything does."""
    for line in ("MEMREAD a", "MEMCLEAR a", "MEMWRITE a user hi", "MEMDEL a 1-1"):
        busy = BusyMemories()
        first = ticket(line)
        assert busy.admit(first)
        assert not busy.admit(ticket("MEMAPPEND a user hi"))
        assert busy.admit(ticket("MEMAPPEND b user hi"))
        assert busy.admit(ticket("MEMHEALTH"))
        busy.release(first)
        assert busy.admit(ticket("MEMAPPEND a user hi"))


def test_a_copy_is_about_two() -> None:
    """A copy waits for both of its memories, notes nothing while it waits, and keeps others out of both."""
    busy = BusyMemories()
    append, copy = ticket("MEMAPPEND b user hi"), ticket("MEMFORK a b")
    assert busy.admit(append)
    assert not busy.admit(copy)
    read = ticket("MEMREAD a")
    assert busy.admit(read)  # what waits holds nothing
    busy.release(read)
    busy.release(append)
    assert busy.admit(copy)
    assert not busy.admit(ticket("MEMREAD a"))
    assert not busy.admit(ticket("MEMAPPEND b user hi"))
    busy.release(copy)
    assert busy.admit(ticket("MEMREAD b"))


LINES = [f"{what} {key}{rest}" for key in "ab" for what, rest in [("MEMAPPEND", " user hi"), ("MEMREAD", "")]]


@given(
    steps=st.lists(
        st.sampled_from([*LINES, "MEMFORK a b", "MEMFORK b a", "MEMHEALTH"]) | st.integers(0, 5), max_size=40
    )
)
def test_any_order(steps: list[str | int]) -> None:
    """At any time the commands that run on a memory are appends, or one alone; and who could run does."""
    busy = BusyMemories()
    running: list[Ticket] = []
    for step in steps:
        if isinstance(step, int):
            if step < len(running):
                busy.release(running.pop(step))
            continue
        new = ticket(step)
        rivals = [each for each in running if set(each.memories) & set(new.memories)]
        may = not rivals or (new.queued and all(each.queued for each in rivals))
        assert busy.admit(new) == may
        if may:
            running.append(new)
    for each in running:
        busy.release(each)
    assert all(busy.admit(ticket(line)) for line in ("MEMREAD a", "MEMREAD b"))
