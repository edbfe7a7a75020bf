"""When a memory is compacted, how, and how far."""

from __future__ import annotations

from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk

DEFINITIONS = """
definitions:
  - {id: usual-flush, max_messages: 10, flush: {strategy: fifo}}
  - {id: early-flush, max_messages: 10, flush: {threshold: 0.3, target: 0.2}}
  - {id: deep-flush, max_messages: 10, flush: {strategy: fifo, target: 0.2}}
  - {id: dropping, max_messages: 10, flush: {strategy: fifo}}
  - {id: summing-up, max_messages: 10, flush: {strategy: hybrid_summary}}
  - {id: undoable, max_messages: 10, flush: {strategy: fifo}}
  - {id: final, max_messages: 10, flush: {strategy: fifo, undo_ttl: 0}}
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
