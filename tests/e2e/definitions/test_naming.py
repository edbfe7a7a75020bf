"""What a definition is called, how its memories are found, and whether they may be changed."""

from __future__ import annotations

import json

from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk

DEFINITIONS = """
definitions:
  - {id: named, max_messages: 77}
  - {id: described, description: "Talks with customers"}
  - {id: versioned, version: 1.2}
  - {id: templated, key_template: "{{ workflow.id }}/{{ user.id }}"}
  - {id: archive, mode: read-only}
"""


@shows("id")
async def test_id(talk: Talk) -> None:
    """The part of a key before the colon is a definition's id, and says what holds; other keys are the default's."""
    await talk.say("named:id", "hello")
    await talk.say("nameless:id", "hello")
    assert (await talk.map("MEMINFO", "named:id"))["limit-messages"] == 77
    assert (await talk.map("MEMINFO", "nameless:id"))["limit-messages"] is None
    cursor, keys = await talk.ask("MEMLIST", "0", "MATCH", "*named:id", "COUNT", "1000")
    assert (cursor, keys) == ("0", ["named:id"])
    cursor, keys = await talk.ask("MEMLIST", "0", "MATCH", "*nameless:id", "COUNT", "1000")
    assert (cursor, keys) == ("0", ["default:nameless:id"])


@shows("description")
async def test_description(talk: Talk) -> None:
    """MEMDEFS tells a definition's description."""
    assert (await talk.map("MEMDEFS", "described"))["description"] == "Talks with customers"
    assert (await talk.map("MEMDEFS", "named"))["description"] == ""


@shows("version")
async def test_version(talk: Talk) -> None:
    """MEMDEFS tells a definition's version as it is written, although YAML takes it for a number."""
    assert (await talk.map("MEMDEFS", "versioned"))["version"] == "1.2"
    assert (await talk.map("MEMDEFS", "named"))["version"] == ""


@shows("key_template")
async def test_key_template(talk: Talk) -> None:
    """A key that is the bare id names the instance that the template makes of the context."""
    context = json.dumps({"workflow": {"id": "order"}, "user": {"id": "u7"}})
    await talk.ask("MEMAPPEND", "templated", "CONTEXT", context, "user", "hello")
    assert await talk.texts("templated:order/u7") == ["hello"]
    assert (await talk.refused("MEMREAD", "named")).startswith("BADKEY 'named' names a definition but no instance")


@shows("mode")
async def test_mode(talk: Talk) -> None:
    """The memories of a read-only definition can be read, and no command changes them."""
    assert await talk.texts("archive:one") == []
    for change in (
        ("MEMAPPEND", "archive:one", "user", "hello"),
        ("MEMWRITE", "archive:one", "user", "hello"),
        ("MEMCLEAR", "archive:one"),
        ("MEMFLUSH", "archive:one"),
        ("MEMLOCK", "archive:one", "1000"),
        ("MEMDEL", "archive:one", "1-1"),
        ("MEMPIN", "archive:one", "1-1"),
    ):
        assert (await talk.refused(*change)).startswith("FORBIDDEN the definition 'archive' is read-only")
