"""Stored totals are exact: the sidecar's, against a count of our own, of thousands of conversations.

The count is written anew here, from OpenAI's cookbook ("How to count tokens with tiktoken") and tiktoken itself;
of the sidecar it has the vocabularies only, whose sums are those that OpenAI publishes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis
import tiktoken

from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.e2e.agents import as_map, definitions_file
from tests.e2e.conversations import Message, Talk
from tests.support.children import StartSidecar

TOKENS_PER_MESSAGE = 3
TOKENS_PER_NAME = 1
MEDIA = {"image_url": 111, "input_audio": 222, "file": 333}

PIPELINE = 200
"""Conversations that are sent before the first reply is read."""

Conversation = list[Message]


def num_tokens_from_messages(messages: Conversation, encoding: tiktoken.Encoding) -> int:
    """Return the tokens of messages without those that prime a reply, which is not stored.

    What the cookbook does not tell is as the documentation says: tool calls weigh what their compact JSON does, parts
    that are no text what the definition estimates, and ids nothing.
    """

    def tokens(text: str) -> int:
        return len(encoding.encode(text, disallowed_special=()))

    total = 0
    for message in messages:
        total += TOKENS_PER_MESSAGE + tokens(message["role"])
        content = message["content"]
        if isinstance(content, str):
            total += tokens(content)
        elif content is not None:
            for part in content:
                kind = part["type"]
                total += MEDIA[kind] if kind in MEDIA else tokens(part[kind])
        if "name" in message:
            total += TOKENS_PER_NAME + tokens(message["name"])
        if "tool_calls" in message:
            total += tokens(json.dumps(message["tool_calls"], separators=(",", ":"), ensure_ascii=False))
    return total


def words(messages: Conversation) -> list[str]:
    """Return the messages as arguments of MEMAPPEND: in pairs where that says all of them."""
    if all(message.keys() == {"role", "content"} and isinstance(message["content"], str) for message in messages):
        return [word for message in messages for word in (message["role"], message["content"])]
    return ["JSON", *(json.dumps(message, ensure_ascii=number % 2 == 0) for number, message in enumerate(messages))]


def stored(client: redis.Redis, start: int, conversations: list[Conversation]) -> list[tuple[Any, Any, Any]]:
    """Store each conversation in two appends, all in one pipeline; return the replies to both, and to MEMINFO."""
    pipeline: Any = client.pipeline(transaction=False)
    for number, messages in enumerate(conversations, start):
        half = (len(messages) + 1) // 2
        for part in (messages[:half], messages[half:] or messages[:1]):
            pipeline.execute_command("MEMAPPEND", f"counted:{number}", *words(part))
        pipeline.execute_command("MEMINFO", f"counted:{number}")
    replies = pipeline.execute()
    return list(zip(replies[0::3], replies[1::3], replies[2::3], strict=True))


def check(client: redis.Redis, conversations: Iterator[Conversation], encoding: tiktoken.Encoding) -> int:
    """Store conversations, compare every total with our own count, and return how many there were."""
    done = 0
    while chunk := list(islice(conversations, PIPELINE)):
        for messages, replies in zip(chunk, stored(client, done, chunk), strict=True):
            first, second, info = map(as_map, replies)
            half = (len(messages) + 1) // 2
            expected = num_tokens_from_messages(messages[:half], encoding)
            assert first["tokens"] == expected, messages[:half]
            expected += num_tokens_from_messages(messages[half:] or messages[:1], encoding)
            assert (second["tokens"], info["tokens"]) == (expected, expected), messages[half:]
            assert info["messages"] == max(len(messages), 2)
        done += len(chunk)
    return done


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_stored_totals_are_those_of_the_cookbook(
    redis_url: str, sidecar_process: StartSidecar, tmp_path: Path, encoding: str, number: int
) -> None:
    """Whatever is said, in whatever form, each append answers the exact total, and it is the stored one."""
    media = {"image_tokens": 111, "audio_tokens": 222, "file_tokens": 333}
    definitions = definitions_file(tmp_path, id="counted", max_tokens=None, encoding=encoding, media=media)
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions)
    with redis.Redis.from_url(sidecar.url) as client:
        assert check(client, Talk(seed=number).conversations(number), load_encoding(encoding)) == number
