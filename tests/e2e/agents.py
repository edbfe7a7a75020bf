"""What the end-to-end tests share: writers, definitions files, and a recount of what lies on Redis."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio
from hiredis import pack_command
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sidecar.dev.servers import SidecarProcess
from sidecar.memory.keys import KeySpace
from sidecar.tokens.vocabulary import load_encoding

SPACE = KeySpace()

WORDS = (
    "parcel",
    "left",
    "Rotterdam",
    "at",
    "14:05",
    "and",
    "arrives",
    "on",
    "Tuesday;",
    "café's",
    "naïve",
    "数",
    "🙂",
)


def text(writer: int, number: int) -> str:
    """Return a content that names its writer and place, and is not the same length each time."""
    return f"w{writer}-{number} " + " ".join(WORDS[: 2 + (writer * 7 + number) % len(WORDS)])


def origin(content: str) -> tuple[int, int]:
    """Return the writer and the number in a content that `text` made."""
    writer, number = content.split(" ", 1)[0].removeprefix("w").split("-")
    return int(writer), int(number)


@dataclass(frozen=True)
class Entry:
    """One stored message, as it lies on Redis."""

    id: str
    role: str
    content: str
    tokens: int


async def run(client: redis.asyncio.Redis, *words: str | bytes) -> Any:
    """Send one command and return its reply."""
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py left it without types


def patient(url: str) -> redis.asyncio.Redis:
    """Return a client with one connection that waits for its reply, and sends nothing again behind the test's back.

    By itself redis-py gives up after 5 seconds, and then sends the command once more.
    """
    return redis.asyncio.Redis.from_url(
        url, single_connection_client=True, socket_timeout=60, socket_connect_timeout=60, retry=Retry(NoBackoff(), 0)
    )


async def ghost(sidecar: SidecarProcess, *words: str) -> asyncio.StreamWriter:
    """Send a command as a client that will not be there for the reply: it goes with `vanish`."""
    _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.write(pack_command(words))  # type: ignore[arg-type]  # its stub knows one word
    return writer


def vanish(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """End a connection: with a reset, or as the end of a process does it."""
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def gauge(sidecar: SidecarProcess, name: str) -> float:
    """Return the value of a metric without labels that the sidecar shows now."""

    def fetch() -> str:
        with urllib.request.urlopen(sidecar.metrics_url, timeout=10) as page:
            text: str = page.read().decode()
        return text

    page = await asyncio.to_thread(fetch)
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} "))


async def waiting(sidecar: SidecarProcess) -> int:
    """Return how many locks and changes wait for somebody else's lease in a sidecar now."""
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        found: int = as_map(as_map(await run(client, "MEMHEALTH"))["locks"])["waiting"]
    return found


async def stored(client: redis.asyncio.Redis, definition: str, instance: str) -> list[Entry]:
    """Return the messages of a memory straight from its stream."""
    entries: Any = await client.xrange(SPACE.keys(definition, instance).log)
    return [
        Entry(id_.decode(), fields[b"r"].decode(), fields[b"c"].decode(), int(fields[b"n"])) for id_, fields in entries
    ]


async def meta(client: redis.asyncio.Redis, definition: str, instance: str) -> dict[str, str]:
    """Return the totals and other facts of a memory."""
    fields: Any = await client.hgetall(SPACE.keys(definition, instance).meta)
    return {name.decode(): value.decode() for name, value in fields.items()}


def recount(entries: Sequence[Entry]) -> int:
    """Count the tokens of plain messages anew, with tiktoken and the formula of OpenAI's cookbook."""
    encoding = load_encoding("o200k_base")

    def count(said: str) -> int:
        return len(encoding.encode(said, disallowed_special=()))

    return sum(3 + count(entry.role) + count(entry.content) for entry in entries)


async def write_many(url: str, key: str, writer: int, appends: int) -> list[str]:
    """Append one message after the other on a connection of its own; return the acknowledged ids in order."""
    ids = []
    async with redis.asyncio.Redis.from_url(url, single_connection_client=True) as client:
        for number in range(appends):
            reply: Any = await run(client, "MEMAPPEND", key, "user", text(writer, number))
            ids.append(as_map(reply)["last-id"])
    return ids


async def write_all(urls: Sequence[str], key: str, *, writers: int, appends: int) -> dict[int, list[str]]:
    """Run all writers at once, spread over the sidecars; return the acknowledged ids of each."""
    jobs = [write_many(urls[writer % len(urls)], key, writer, appends) for writer in range(writers)]
    return dict(enumerate(await asyncio.gather(*jobs)))


def as_map(reply: Any) -> dict[str, Any]:
    """Return a map reply of either protocol with text keys and text values."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_plain(name): _plain(value) for name, value in pairs}


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def definitions_file(directory: Path, **definition: Any) -> Path:
    """Write a definitions file with one definition; JSON is YAML too."""
    path = directory / "definitions.yaml"
    path.write_text(json.dumps({"definitions": [definition]}))
    return path
