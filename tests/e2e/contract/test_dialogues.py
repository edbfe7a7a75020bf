"""Puts the dialogues to a real sidecar, and compares what they cover with the command table."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sidecar import errors
from sidecar.commands.command import Command
from sidecar.commands.syntax import Argument
from sidecar.commands.table import COMMANDS
from sidecar.errors import ReplyableError
from tests.e2e.contract.addressing import ADDRESSING
from tests.e2e.contract.appending import APPENDING
from tests.e2e.contract.asking import ASKING
from tests.e2e.contract.fields import FIELDS, FLUSHED, MESSAGE
from tests.e2e.contract.flushing import FLUSHING
from tests.e2e.contract.living import LIVING
from tests.e2e.contract.locking import LOCKING
from tests.e2e.contract.reading import READING
from tests.e2e.contract.refusing import CHANGING, REFUSING
from tests.e2e.contract.speaking import Speaker
from tests.e2e.contract.tracing import TRACING
from tests.e2e.dialogue import Dialogue, Refusal, Step

DIALOGUES = (*APPENDING, *READING, *FLUSHING, *LIVING, *LOCKING, *ASKING, *REFUSING, *ADDRESSING, *TRACING)

COMMAND = pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: str(command.name))


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=str)
def test_what_the_contract_says_is_what_comes(speaker: Speaker, dialogue: Dialogue) -> None:
    """Each command answers, field by field and type by type, what its dialogue says; the name is the promise."""
    speaker.hold(dialogue)


def steps_of(name: str) -> list[Step]:
    """Return the steps of all dialogues with a command that does not end in an error."""
    steps = (step for dialogue in DIALOGUES for step in dialogue.steps)
    return [step for step in steps if step.words[0].upper() == name and not isinstance(step.reply, Refusal)]


def arguments_of(command: Command) -> Iterator[Argument]:
    """Yield all arguments, those inside of groups too."""
    waiting = list(command.arguments)
    while waiting:
        argument = waiting.pop()
        waiting += argument.arguments
        yield argument


@COMMAND
def test_every_option_of_the_table_is_in_a_dialogue(command: Command) -> None:
    """A command, an option or one of its words that the table has and no dialogue uses successfully is a gap here."""
    steps = steps_of(command.name)
    assert steps
    used = {word.upper() for step in steps for word in step.words[1:]}
    tokens = {argument.token for argument in arguments_of(command) if argument.token}
    assert sorted(tokens - used) == []
    optional = [argument for argument in arguments_of(command) if argument.optional and not argument.token]
    bare = [step for step in steps if len(step.words) == 1]
    if any(not argument.arguments for argument in optional):
        assert bare
        assert [step for step in steps if len(step.words) > 1 and step.words[1].upper() not in tokens]


@COMMAND
def test_every_field_of_the_contract_is_in_a_reply(command: Command) -> None:
    """Replies that are maps have exactly the fields of the contract, and the table tells people the same ones."""
    maps = [step.reply for step in steps_of(command.name) if isinstance(step.reply, dict)]
    if command.name in FIELDS:
        assert maps
        assert all(tuple(reply) == FIELDS[command.name] for reply in maps)
        told = re.findall(r"`([a-z-]+)`", re.sub(r"\([^)]*\)", "", command.reply))
        assert command.reply == "as MEMAPPEND" or tuple(told) == FIELDS[command.name]
    elif command.name == "MEMFLUSH":
        assert {name for reply in maps for name in reply} == {*FLUSHED} - {"error"}  # which `test_engine_away` provokes
        assert all(list(reply) == [name for name in FLUSHED if name in reply] for reply in maps)
    else:
        assert not maps or command.name == "MEMDEFS"
    if command.name == "MEMREAD":
        messages = [message for reply in maps for message in reply["messages"]]
        assert messages
        assert all(tuple(message)[: len(MESSAGE)] == MESSAGE for message in messages)


def test_every_error_of_ours_is_provoked() -> None:
    """Each first word that is ours is in a dialogue, or else in `test_trouble` or `test_identity`."""
    provoked = {
        step.reply.line.partition(" ")[0]
        for dialogue in DIALOGUES
        for step in dialogue.steps
        if isinstance(step.reply, Refusal)
    }
    elsewhere = {"FLUSHFAILED", "UNAVAILABLE", "UNCERTAIN", "NOAUTH"}
    ours = {
        kind.prefix for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ReplyableError)
    }
    assert ours == provoked | elsewhere


def test_every_command_that_changes_a_memory_is_forbidden_on_a_read_only_one() -> None:
    """The commands that the table says may answer FORBIDDEN are those for which a dialogue shows it."""
    told = {command.name for command in COMMANDS.values() if "FORBIDDEN" in command.errors}
    assert told == {*CHANGING, "MEMFORK"}


@COMMAND
def test_the_number_of_words_is_checked(speaker: Speaker, command: Command) -> None:
    """Too few words, and too many where there is a most, get Redis's own sentence, and the connection lives."""
    refusal = Refusal(f"ERR wrong number of arguments for '{command.name.lower()}' command")
    words = [count for count in (*range(1, abs(command.arity)), 10) if not command.takes(count)]
    most = {"MEMCONTEXT": 3, "MEMDEFS": 3}.get(command.name)  # Redis's arity has no upper bound beside a lower one
    for count in [*words, most] if most else words:
        assert speaker.ask(command.name, *["x"] * (count - 1)) == refusal
    assert speaker.ask("PING") in ("PONG", True)
