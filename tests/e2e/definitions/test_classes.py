"""Classes of messages, and their shares of what a read returns."""

from __future__ import annotations

from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk

DEFINITIONS = """
definitions:
  - {id: classless, type: buffer, max_messages: 3}
  - id: critical
    type: buffer
    max_messages: 3
    priority_blocks: [{name: facts, priority: critical, keywords: [remember]}]
  - id: ordinary
    type: buffer
    max_messages: 3
    priority_blocks: [{name: facts, priority: normal, keywords: [remember]}]
  - id: ranking
    max_messages: 10
    flush: {strategy: priority}
    priority_blocks:
      - {name: chatter, priority: low, keywords: [weather]}
      - {name: facts, priority: high, keywords: [order]}
  - id: of-users
    type: buffer
    max_messages: 3
    priority_blocks: [{name: users, priority: critical, roles: [user]}]
  - id: keyed
    type: buffer
    max_messages: 3
    priority_blocks: [{name: facts, priority: critical, keywords: [order number, Straße]}]
  - id: chatty
    priority_blocks: [{name: chatter, keywords: [weather]}, {name: work, keywords: [invoice]}]
    token_allocation: {chatter: 0.3}
  - {id: unshared}
  - {id: few-instructions, token_allocation: {system: 0.5}}
  - {id: much-talk, token_allocation: {short_term: 0.8}}
  - {id: summarised, max_tokens: 1000, flush: {summary_tokens: 40}}
  - {id: little-summary, max_tokens: 1000, flush: {summary_tokens: 40}, token_allocation: {long_term: 0.2}}
"""


def words(count: int) -> str:
    """Return a text with which a message weighs `count` tokens: the format adds three, the role one."""
    return "word" + " word" * (count - 5)


@shows("priority_blocks.priority")
async def test_priority(talk: Talk) -> None:
    """A `critical` message is never removed, and is part of a read whose budget has long been passed."""
    for name in ("critical", "ordinary"):
        for text in ("remember: no nuts", *"abc"):
            await talk.say(f"{name}:priority", text)
    assert await talk.texts("critical:priority") == ["remember: no nuts", "b", "c"]
    assert await talk.texts("ordinary:priority") == ["a", "b", "c"]
    assert await talk.texts("critical:priority", "TOKENS", "14") == ["remember: no nuts", "c"]


@shows("priority_blocks.priority")
async def test_priority_of_a_flush(talk: Talk) -> None:
    """With the strategy `priority`, `low` messages go first, then those between, and `high` ones last."""
    await talk.say("ranking:priority", "order 1", "b", "weather 3", "d", "weather 5", *"fghi")
    await talk.flush("ranking:priority")
    assert await talk.texts("ranking:priority") == ["order 1", "f", "g", "h", "i"]


@shows("priority_blocks.roles")
async def test_roles(talk: Talk) -> None:
    """Only messages with one of these roles belong to the class."""
    await talk.say("of-users:roles", "question")
    for text in "abc":
        await talk.say("of-users:roles", text, role="assistant")
    assert await talk.texts("of-users:roles") == ["question", "b", "c"]


@shows("priority_blocks.keywords")
async def test_keywords(talk: Talk) -> None:
    """Messages that hold one of these words belong to the class, whatever the case of their letters."""
    for text in ("ORDER NUMBER 7", "STRASSE 4", *"abc"):
        await talk.say("keyed:keywords", text)
    assert await talk.texts("keyed:keywords") == ["ORDER NUMBER 7", "STRASSE 4", "c"]


@shows("priority_blocks.name")
async def test_name(talk: Talk) -> None:
    """A class is given its share by its name; another class is not bound by it."""
    key = "chatty:name"
    for about in ("weather", "invoice"):
        await talk.say(key, *(f"{about} {words(11)}" for _ in range(4)))
    assert (await talk.map("MEMINFO", key))["tokens"] <= 100
    read = await talk.texts(key, "TOKENS", "100")
    assert [text[:7] for text in read] == ["weather", "weather", *["invoice"] * 4]


@shows("token_allocation")
async def test_share_of_a_class(talk: Talk) -> None:
    """The messages of a class take up no more of a budget than its share; older ones of others follow."""
    for name in ("chatty", "unshared"):
        await talk.say(f"{name}:share", words(20), *("weather " + words(19) for _ in range(3)))
    read = await talk.map("MEMREAD", "chatty:share", "TOKENS", "100")
    assert (len(read["messages"]), read["left-out"]) == (2, 2)
    assert len(await talk.texts("unshared:share", "TOKENS", "100")) == 4


@shows("token_allocation.system")
async def test_share_of_instructions(talk: Talk) -> None:
    """Instructions take up no more of a budget than this share."""
    for name in ("few-instructions", "unshared"):
        await talk.say(f"{name}:system", words(40), role="system")
        await talk.say(f"{name}:system", words(11))
    assert await talk.texts("few-instructions:system", "TOKENS", "80") == [words(40), words(11)]
    assert await talk.texts("few-instructions:system", "TOKENS", "78") == [words(11)]
    assert await talk.texts("unshared:system", "TOKENS", "78") == [words(40), words(11)]


@shows("token_allocation.short_term")
async def test_share_of_the_talk(talk: Talk) -> None:
    """The rest leaves this share of a budget to the latest messages in any case."""
    for name in ("much-talk", "unshared"):
        await talk.say(f"{name}:short", words(30), role="system")
        await talk.say(f"{name}:short", words(40), words(40))
    assert await talk.texts("much-talk:short", "TOKENS", "100") == [words(40), words(40)]
    assert await talk.texts("unshared:short", "TOKENS", "100") == [words(30), words(40)]


@shows("token_allocation.long_term")
async def test_share_of_the_summary(talk: Talk) -> None:
    """The summary is left out of a read where it would take up more than this share."""
    for name in ("little-summary", "summarised"):
        key = f"{name}:long"
        await talk.say(key, *(f"The parcel {n} left Rotterdam at 14:0{n}. " + words(190) for n in range(5)))
        await talk.flush(key)
        assert (await talk.map("MEMREAD", key, "TOKENS", "500"))["summary"]
    assert (await talk.map("MEMREAD", "little-summary:long", "TOKENS", "60"))["summary"] is None
    assert (await talk.map("MEMREAD", "summarised:long", "TOKENS", "60"))["summary"]
