"""How much a memory may hold, what happens above that, and how much one append may bring."""

from __future__ import annotations

from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk

DEFINITIONS = """
definitions:
  - {id: by-default}
  - {id: by-tokens, max_tokens: 100}
  - {id: by-messages, max_tokens: null, max_messages: 5}
  - {id: counted, type: message_count_based, max_messages: 5}
  - {id: ring, type: buffer, max_messages: 3}
  - {id: small-ring, type: buffer, max_tokens: 20}
  - {id: allows, max_messages: 2, overflow: allow}
  - {id: rejects, max_messages: 2, overflow: reject}
  - {id: trims, max_messages: 2, overflow: trim}
  - {id: short-messages, limits: {message_bytes: 20B}}
  - {id: short-requests, limits: {request_bytes: 20}}
  - {id: few-messages, limits: {request_messages: 2}}
"""


@shows("type")
async def test_token_based(talk: Talk) -> None:
    """A token_based memory has a limit of tokens without being given one, and none of messages."""
    info = await talk.map("MEMINFO", "by-default:type")
    assert (info["limit-tokens"], info["limit-messages"]) == (128_000, None)


@shows("type")
async def test_message_count_based(talk: Talk) -> None:
    """A message_count_based memory has a limit of messages, and of tokens only where one is given."""
    info = await talk.map("MEMINFO", "counted:type")
    assert (info["limit-tokens"], info["limit-messages"]) == (None, 5)
    said = [await talk.say("counted:type", text) for text in "abcde"]
    assert [each["flush"] for each in said] == ["none"] * 4 + ["due"]


@shows("type")
async def test_buffer(talk: Talk) -> None:
    """In a buffer the oldest messages go as new ones come, and no flush is ever due."""
    said = [await talk.say("ring:type", text) for text in "abcdef"]
    assert {each["flush"] for each in said} == {"none"}
    assert await talk.texts("ring:type") == ["d", "e", "f"]
    await talk.say("small-ring:type", *"ab")
    assert (await talk.say("small-ring:type", *"cdef"))["tokens"] == 20
    assert await talk.texts("small-ring:type") == ["c", "d", "e", "f"]


@shows("max_tokens")
async def test_max_tokens(talk: Talk) -> None:
    """It is what usage is measured by, and a flush is due above the threshold's share of it."""
    key = "by-tokens:max_tokens"
    assert (await talk.say(key, "word" + " word" * 75))["flush"] == "none"
    info = await talk.map("MEMINFO", key)
    assert (info["limit-tokens"], info["tokens"], info["near-limit"]) == (100, 80, 1)
    assert float(info["usage"]) == 0.8
    assert (await talk.say(key, "one"))["flush"] == "due"


@shows("max_messages")
async def test_max_messages(talk: Talk) -> None:
    """It is what usage is measured by, and a flush is due above the threshold's share of it."""
    key = "by-messages:max_messages"
    assert (await talk.say(key, *"abcd"))["flush"] == "none"
    info = await talk.map("MEMINFO", key)
    assert (info["limit-tokens"], info["limit-messages"], float(info["usage"])) == (None, 5, 0.8)
    assert (await talk.say(key, "e"))["flush"] == "due"


@shows("overflow")
async def test_overflow_allow(talk: Talk) -> None:
    """With `allow` an append above a limit is stored."""
    assert (await talk.say("allows:overflow", *"abc"))["appended"] == 3


@shows("overflow")
async def test_overflow_reject(talk: Talk) -> None:
    """With `reject` an append above a limit is refused whole."""
    await talk.say("rejects:overflow", "a")
    refusal = await talk.refused("MEMAPPEND", "rejects:overflow", "user", "b", "user", "c")
    assert refusal.startswith("OVERBUDGET the memory may hold 128000 tokens and 2 messages and holds ")
    assert await talk.texts("rejects:overflow") == ["a"]


@shows("overflow")
async def test_overflow_trim(talk: Talk) -> None:
    """With `trim` the oldest messages make room."""
    await talk.say("trims:overflow", *"ab")
    await talk.say("trims:overflow", "c")
    assert await talk.texts("trims:overflow") == ["b", "c"]


@shows("limits.message_bytes")
async def test_message_bytes(talk: Talk) -> None:
    """A message may have so many bytes; one with more is refused with all of its append."""
    key = "short-messages:one"
    await talk.say(key, "x" * 20, "y" * 20)
    refusal = await talk.refused("MEMAPPEND", key, "user", "z", "user", "é" * 11)
    assert refusal.startswith("BADMESSAGE message 2 has 22 bytes, and 'short-messages' takes 20;")
    assert await talk.texts(key) == ["x" * 20, "y" * 20]


@shows("limits.request_bytes")
async def test_request_bytes(talk: Talk) -> None:
    """The messages of an append may have so many bytes together."""
    key = "short-requests:one"
    await talk.say(key, "x" * 10, "y" * 10)
    refusal = await talk.refused("MEMAPPEND", key, "user", "x" * 10, "user", "y" * 11)
    assert refusal.startswith("BADMESSAGE the messages have 21 bytes, and 'short-requests' takes 20 in one request;")


@shows("limits.request_messages")
async def test_request_messages(talk: Talk) -> None:
    """An append may have so many messages."""
    await talk.say("few-messages:one", *"ab")
    refusal = await talk.refused("MEMAPPEND", "few-messages:one", "user", "a", "user", "b", "user", "c")
    assert refusal.startswith("BADMESSAGE a request to 'few-messages' may have 2 messages, this one has 3;")
