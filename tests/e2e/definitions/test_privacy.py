"""What is taken out of messages before they are stored, and which are not stored at all."""

from __future__ import annotations

import pytest

from sidecar.privacy.builtin import BUILTIN_SETS
from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk

DEFINITIONS = """
definitions:
  - {id: open}
  - {id: no-card, privacy: {redact: [card]}}
  - {id: no-email, privacy: {redact: [email]}}
  - {id: no-iban, privacy: {redact: [iban]}}
  - {id: no-ip, privacy: {redact: [ip]}}
  - {id: no-phone, privacy: {redact: [phone]}}
  - {id: no-secrets, privacy: {redact: [secrets]}}
  - id: own-patterns
    privacy:
      patterns:
        - {name: badge, regex: "B-[0-9]{4}"}
        - {name: room, regex: "room ([0-9]+)"}
  - id: own-replacements
    privacy:
      redact: [email]
      patterns:
        - {name: badge, regex: "B-[0-9]{4}", replacement: "(a badge)"}
        - {name: room, regex: "room ([0-9]+)"}
  - {id: starred, privacy: {redact: [email, ip], replacement: "*{kind}*"}}
  - {id: no-tools, privacy: {do_not_persist: [tool, developer]}}
"""

SECRET = {
    "card": "4111 1111 1111 1111",
    "email": "bob@example.com",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ip": "10.0.0.1",
    "phone": "+49 170 1234567",
    "secrets": "AKIAIOSFODNN7EXAMPLE",
}


async def kept(talk: Talk, key: str, text: str) -> str:
    """Return what is stored of a text."""
    await talk.say(key, text)
    return (await talk.texts(key))[-1]


@pytest.mark.parametrize("name", BUILTIN_SETS)
@shows("privacy.redact")
async def test_redact(talk: Talk, name: str) -> None:
    """What a set finds is not stored, and what other sets would find is."""
    text = "; ".join(SECRET.values())
    assert await kept(talk, f"no-{name}:redact", text) == text.replace(SECRET[name], f"[{name}]")
    assert await kept(talk, f"open:{name}", text) == text


@shows("privacy.patterns.name")
async def test_pattern_name(talk: Talk) -> None:
    """The name of a pattern stands in place of what it found."""
    assert await kept(talk, "own-patterns:name", "my badge is B-1234") == "my badge is [badge]"


@shows("privacy.patterns.regex")
async def test_pattern_regex(talk: Talk) -> None:
    """What the expression fits is taken out, of one with a group only the group."""
    said = "B-12 and B-1234 in room 17, not rooms 18"
    assert await kept(talk, "own-patterns:regex", said) == "B-12 and [badge] in room [room], not rooms 18"


@shows("privacy.patterns.replacement")
async def test_pattern_replacement(talk: Talk) -> None:
    """A pattern may have a replacement of its own."""
    said = "B-1234 in room 17"
    assert await kept(talk, "own-replacements:one", said) == "(a badge) in room [room]"


@shows("privacy.replacement")
async def test_replacement(talk: Talk) -> None:
    """It stands in place of all that is found, with the name of what it was."""
    assert await kept(talk, "starred:one", "bob@example.com at 10.0.0.1") == "*email* at *ip*"


@shows("privacy.do_not_persist")
async def test_do_not_persist(talk: Talk) -> None:
    """Messages with these roles are accepted and not stored."""
    said = await talk.map("MEMAPPEND", "no-tools:one", "user", "a", "developer", "b", "assistant", "c")
    assert said["appended"] == 2
    assert await talk.texts("no-tools:one") == ["a", "c"]
    assert (await talk.say("no-tools:one", "d", role="developer"))["appended"] == 0
    assert await talk.texts("no-tools:one") == ["a", "c"]
