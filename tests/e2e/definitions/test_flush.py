"""When a memory is compacted, how, and how far."""

from __future__ import annotations

import json

from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk
from tests.support.waiting import eventually

DEFINITIONS = """
definitions:
  - {id: usual-flush, max_messages: 10, flush: {strategy: fifo}}
  - {id: early-flush, max_messages: 10, flush: {threshold: 0.3, target: 0.2}}
  - {id: deep-flush, max_messages: 10, flush: {strategy: fifo, target: 0.2}}
  - {id: dropping, max_messages: 10, flush: {strategy: fifo}}
  - {id: summing-up, max_messages: 10, flush: {strategy: hybrid_summary}}
  - {id: undoable, max_messages: 10, flush: {strategy: fifo}}
  - {id: final, max_messages: 10, flush: {strategy: fifo, undo_ttl: 0}}
  - {id: recalling, max_messages: 10, flush: {strategy: lru}}
  - {id: weighing, max_messages: 10, flush: {strategy: token_aware_lru}}
  - {id: shortening, max_tokens: 2000, flush: {strategy: tool_trim}}
  - {id: shortening-less, max_tokens: 2000, flush: {strategy: tool_trim, tool_result_tokens: 400}}
  - {id: short-summary, max_tokens: 2000, flush: {summary_tokens: 60}}
  - {id: long-summary, max_tokens: 2000, flush: {summary_tokens: 300}}
"""

TALK = [f"The parcel {number} left Rotterdam at 14:0{number} and arrives on Tuesday." for number in range(9)]


@shows("flush.threshold")
async def test_threshold(talk: Talk) -> None:
    """A flush is due above this share of a limit."""
    said = [await talk.say("early-flush:threshold", text) for text in "abcd"]
    assert [each["flush"] for each in said] == ["none", "none", "none", "due"]
    assert (await talk.say("usual-flush:threshold", *"abcdefgh"))["flush"] == "none"
    assert (await talk.say("usual-flush:threshold", "i"))["flush"] == "due"


@shows("flush.target")
async def test_target(talk: Talk) -> None:
    """A flush leaves this share of a limit."""
    for name, left in (("deep-flush", "hi"), ("usual-flush", "efghi")):
        await talk.say(f"{name}:target", *"abcdefghi")
        await talk.flush(f"{name}:target")
        assert await talk.texts(f"{name}:target") == list(left)


@shows("flush.strategy")
async def test_strategy(talk: Talk) -> None:
    """`fifo` drops the oldest messages, `hybrid_summary` puts a summary in their place."""
    for name in ("dropping", "summing-up"):
        await talk.say(f"{name}:strategy", *TALK)
        await talk.flush(f"{name}:strategy")
    assert (await talk.map("MEMREAD", "dropping:strategy"))["summary"] is None
    assert "Rotterdam" in (await talk.map("MEMREAD", "summing-up:strategy"))["summary"]
    assert (await talk.map("MEMINFO", "dropping:strategy"))["last-flush-strategy"] == "fifo"
    assert (await talk.map("MEMINFO", "summing-up:strategy"))["last-flush-strategy"] == "hybrid_summary"


async def now_ms(talk: Talk) -> int:
    """Return Redis's clock."""
    seconds, micros = await talk.ask("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def clock_moves_on(talk: Talk) -> None:
    """Wait for Redis's next millisecond, so that what follows is later than what was."""
    begun = await now_ms(talk)

    async def moved() -> bool:
        return await now_ms(talk) > begun

    await eventually(moved, why="the clock stands still")


@shows("flush.strategy")
async def test_lru(talk: Talk) -> None:
    """`lru` keeps what was read, and drops the oldest of the others; a look with PEEK is no use."""
    for name, peek, left in (
        ("recalling", [], "abghi"),
        ("dropping", [], "efghi"),
        ("recalling-peek", ["PEEK"], "efghi"),
    ):
        key = f"{name.removesuffix('-peek')}:{name}"
        await talk.say(key, *"abcdefgh")
        await clock_moves_on(talk)
        assert await talk.texts(key, "COUNT", "2", "SINCE", "0-0", *peek) == ["a", "b"]
        await talk.say(key, "i")
        await talk.flush(key)
        assert await talk.texts(key) == list(left)


@shows("flush.strategy")
async def test_token_aware_lru(talk: Talk) -> None:
    """`token_aware_lru` drops large messages before small ones of about the same age."""
    large = "parcel " * 40
    await talk.say("weighing:strategy", "a", large, "c", "d", large, "f", large, "h", "i")
    await talk.flush("weighing:strategy")
    assert await talk.texts("weighing:strategy") == ["c", "d", "f", "h", "i"]


async def say_with_tools(talk: Talk, key: str) -> None:
    """Append a talk in which six tools have answered at length: about 1,400 tokens, which is not due."""
    for number in range(6):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        messages: list[dict[str, object]] = [
            {"role": "user", "content": f"Where is parcel {number}?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "parcel " * 200},
        ]
        for message in messages:
            await talk.ask("MEMAPPEND", key, "JSON", json.dumps(message))


@shows("flush.tool_result_tokens")
async def test_tool_result_tokens(talk: Talk) -> None:
    """`tool_trim` drops nothing where it is enough that long results keep so many tokens, and else the oldest."""
    for name in ("shortening", "shortening-less"):
        await say_with_tools(talk, f"{name}:results")
    planned = await talk.map("MEMFLUSH", "shortening:results", "TARGET", "1000", "DRYRUN")
    assert (planned["status"], planned["removed"]) == ("would-flush", 0)
    dropping = await talk.map("MEMFLUSH", "shortening-less:results", "TARGET", "1000", "DRYRUN")
    assert dropping["removed"] > 0


@shows("flush.summary_tokens")
async def test_summary_tokens(talk: Talk) -> None:
    """A summary has at most so many tokens."""
    weights = []
    for name in ("short-summary", "long-summary"):
        await talk.say(f"{name}:tokens", *(f"{text} " * 12 + f"Its number is {text[11]}." for text in TALK))
        await talk.flush(f"{name}:tokens")
        weights.append((await talk.map("MEMINFO", f"{name}:tokens"))["summary-tokens"])
    assert 0 < weights[0] <= 60 < weights[1] <= 300


@shows("flush.undo_ttl")
async def test_undo_ttl(talk: Talk) -> None:
    """For an hour what a flush took can be put back; with 0 it is gone at once."""
    for name, status, left in (("undoable", "undone", "abcdefghi"), ("final", "nothing-to-undo", "efghi")):
        await talk.say(f"{name}:undo", *"abcdefghi")
        await talk.flush(f"{name}:undo")
        assert (await talk.map("MEMFLUSH", f"{name}:undo", "UNDO"))["status"] == status
        assert await talk.texts(f"{name}:undo") == list(left)
