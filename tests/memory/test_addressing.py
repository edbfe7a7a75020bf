"""From a client's key to the memory that it means."""

from __future__ import annotations

import pytest

from sidecar.errors import CommandError
from sidecar.memory.addressing import CACHED_ADDRESSES, MAX_INSTANCE_BYTES
from sidecar.memory.definition import Definition
from sidecar.memory.keys import KeySpace
from tests.support.addressing import addressing

CHAT, DEFAULT = Definition("chat"), Definition()
BOTH = {"chat": CHAT, "default": DEFAULT}
SPACE = KeySpace("m", "shop")


@pytest.mark.parametrize(
    ("key", "definition", "instance"),
    [
        ("chat:42", CHAT, "42"),
        ("chat:a:b", CHAT, "a:b"),
        ("default:42", DEFAULT, "42"),
        ("42", DEFAULT, "42"),
        ("session:42", DEFAULT, "session:42"),
        ("Chat:42", DEFAULT, "Chat:42"),
        ("chats:42", DEFAULT, "chats:42"),
        (":42", DEFAULT, ":42"),
        ("chat::", CHAT, ":"),
        ("chat:" + "x" * MAX_INSTANCE_BYTES, CHAT, "x" * MAX_INSTANCE_BYTES),
        ("AZaz09_.-:@/*", DEFAULT, "AZaz09_.-:@/*"),
    ],
)
def test_resolve(key: str, definition: Definition, instance: str) -> None:
    """The part before the first colon names a definition; what names none is an instance of `default`."""
    memory = addressing(BOTH, SPACE).resolve(key.encode())
    assert (memory.definition, memory.instance) == (definition, instance)
    assert memory.keys == SPACE.keys(definition.id, instance)


ALLOWED = "use A-Z a-z 0-9 _ . - : @ / *"
ERRORS: list[tuple[bytes, str]] = [
    (b"", "BADKEY the instance is empty; write definition:instance"),
    (b"chat:", "BADKEY the instance is empty; write definition:instance"),
    (b"chat", "BADKEY 'chat' names a definition but no instance; write chat:<instance>"),
    (b"default", "BADKEY 'default' names a definition but no instance; write default:<instance>"),
    (b"chat:" + b"x" * 257, "BADKEY the instance has 257 bytes; at most 256 are allowed"),
    (b"x" * 300, "BADKEY the instance has 300 bytes; at most 256 are allowed"),
    (b"chat:a b", f"BADKEY byte 0x20 at offset 6 is not allowed in a key; {ALLOWED}"),
    (b"chat:\r\n", f"BADKEY byte 0x0d at offset 5 is not allowed in a key; {ALLOWED}"),
    (b"chat:\0", f"BADKEY byte 0x00 at offset 5 is not allowed in a key; {ALLOWED}"),
    (b"chat:{a}", f"BADKEY '{{' at offset 5 is not allowed in a key; {ALLOWED}"),
    (b"chat:50%", f"BADKEY '%' at offset 7 is not allowed in a key; {ALLOWED}"),
    ("ü:1".encode(), f"BADKEY byte 0xc3 at offset 0 is not allowed in a key; {ALLOWED}"),
]


@pytest.mark.parametrize(("key", "line"), ERRORS)
def test_bad_keys(key: bytes, line: str) -> None:
    """A key that cannot be one is refused with the byte or length that is wrong, each time."""
    resolver = addressing(BOTH, SPACE)
    for _ in range(2):
        with pytest.raises(CommandError) as problem:
            resolver.resolve(key)
        assert problem.value.reply() == line


def test_unknown_definitions() -> None:
    """Under `strict`, and without a `default`, a key of no definition is refused with those that there are."""
    line = "NOMEMORY no memory definition for key 'shop:1'; write it as definition:instance with one of: chat, default"
    with pytest.raises(CommandError) as problem:
        addressing(BOTH, SPACE, strict=True).resolve(b"shop:1")
    assert problem.value.reply() == line
    assert addressing(BOTH, SPACE, strict=True).resolve(b"chat:1").definition is CHAT
    with pytest.raises(CommandError) as problem:
        addressing({"chat": CHAT}, SPACE).resolve(b"shop:1")
    assert problem.value.reply() == line.replace(", default", "")
    with pytest.raises(CommandError) as problem:
        addressing({"chat": CHAT}, SPACE).resolve(b"x" * 1_000_000)
    assert len(problem.value.reply()) < 500


def test_keys_are_remembered() -> None:
    """The same key gives the same object, and a full memory of keys starts anew instead of growing."""
    resolver = addressing(BOTH, SPACE)
    first = resolver.resolve(b"chat:first")
    assert resolver.resolve(b"chat:first") is first
    for number in range(CACHED_ADDRESSES):
        resolver.resolve(b"chat:%d" % number)
    assert resolver.resolve(b"chat:first") is not first
    assert resolver.resolve(b"chat:first") == first
