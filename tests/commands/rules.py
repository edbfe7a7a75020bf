"""What the APIs of OpenAI and Anthropic ask of a conversation beyond the types of its messages (see `schemas`)."""

from __future__ import annotations

import itertools
import re

from tests.commands.conversations import Json


def hold_order(made: list[Json]) -> None:
    """Check that tool messages are just those that answer the calls right before them; the last ones may be missing."""
    calling_at = [at for at, each in enumerate(made) if each.get("tool_calls")]
    expected = 0
    for at in calling_at:
        ids = [each["id"] for each in made[at]["tool_calls"]]
        answers = [each["tool_call_id"] for each in itertools.takewhile(is_result, made[at + 1 :])]
        assert len(set(answers)) == len(answers)
        assert set(answers) == set(ids) or (at == calling_at[-1] and set(answers) < set(ids))
        assert all(len(each) <= 40 for each in ids)
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name_of(each)) for each in made[at]["tool_calls"])
        expected += len(answers)
    assert sum(map(is_result, made)) == expected


def is_result(message: Json) -> bool:
    return bool(message["role"] == "tool")


def name_of(call: Json) -> str:
    return str(call[call["type"]]["name"])


def hold_texts(made: Json) -> None:
    """Check that nothing is empty, and that a final assistant turn has no white end."""
    turns = [message["content"] for message in made["messages"]]
    blocks = [*made.get("system", []), *(block for turn in turns for block in turn)]
    blocks += [inner for block in blocks for inner in block.get("content", [])]
    assert all(turns)
    assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    assert all(block.get("content") != [] for block in blocks)
    if len(turns) % 2 == 0 and turns and turns[-1][-1]["type"] == "text":
        assert turns[-1][-1]["text"] == turns[-1][-1]["text"].rstrip()


def hold_pairs(turns: list[list[Json]]) -> None:
    """Check that each turn begins with just the results of the calls before it; the last ones may be missing."""
    asked: list[str] = []
    every: list[str] = []
    calling_at = [at for at, turn in enumerate(turns) if any(block["type"] == "tool_use" for block in turn)]
    for at, blocks in enumerate(turns):
        kinds = [block["type"] for block in blocks]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        assert len(set(results)) == len(results)
        assert set(results) == set(asked) or (at - 1 == calling_at[-1] and set(results) < set(asked))
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        every += asked
        assert all(re.fullmatch("[a-zA-Z0-9_-]+", id_) for id_ in asked)
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,128}", block["name"]) for block in blocks if "name" in block)
    assert len(set(every)) == len(every)
