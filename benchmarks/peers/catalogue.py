"""Who is compared: each library's memory, how it is driven, and what it guarantees, read in the source of its class.

A guarantee is said for the version in requirements/peers/; whoever renews the locks reads the classes again. The
counterpart is `drivers`, with one script per entry. Nothing here was measured.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.scenario import MEMSIDECAR

ROOT = Path(__file__).resolve().parents[2]

ENVIRONMENTS = ROOT / ".venv-peers"
"""Where `make bench-peers` makes an environment for each peer."""

Client = Literal["redis-py", "redis-py asyncio"]
"""Which client of redis-py a memory is built on. The asyncio one costs about twice the CPU time per request."""


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What a memory promises, a few words each.

    Args:
        atomic: whether an append happens as a whole or not at all.
        order: of the messages of one memory.
        writers: what becomes of several writers on one memory.
        repeats: whether an append that is sent again is noticed.
        counts: whether messages have token counts.
        budget: where a read is cut to a budget of tokens.
    """

    atomic: str
    order: str
    writers: str
    repeats: str
    counts: str
    budget: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A memory and how it is driven.

    Args:
        name: as the tables show it.
        environment: folder of `ENVIRONMENTS`; None: the one that this runs in.
        module: the driver, and its arguments.
        client: see `Client`.
        package: the distribution that the class comes from, the first of `packages`.
        packages: distributions whose versions are told.
        guarantees: see there.
        source: the class, and what of it the guarantees were read in.
        cut: whether a read is cut to the budget; otherwise it returns everything.
        note: what a reader must know of the figures; None: nothing.
    """

    name: str
    environment: str | None
    module: Sequence[str]
    client: Client
    packages: Sequence[str]
    guarantees: Guarantees
    source: str
    cut: bool = False
    note: str | None = None

    @property
    def python(self) -> Path:
        """The interpreter of the peer's environment."""
        return Path(sys.executable) if self.environment is None else ENVIRONMENTS / self.environment / "bin" / "python"

    @property
    def command(self) -> list[str]:
        """The command line of the driver, to be run in `ROOT`."""
        return [str(self.python), "-m", *self.module]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A memory that is not measured, and why: never an estimate in its place."""

    name: str
    why: str


_OWN_GUARANTEES = Guarantees(
    atomic="yes: one script, also for many messages",
    order="ids that rise strictly",
    writers="all kept, nobody starts over",
    repeats="yes: IDEMPOTENT token",
    counts="exact, stored with each message",
    budget="on the server",
)
_OWN_SOURCE = "MEMAPPEND and MEMREAD, docs/commands.md"
_DRIVERS = "benchmarks.peers.drivers"

OWN: dict[Client, Peer] = {
    "redis-py": Peer(
        name=f"{MEMSIDECAR}, redis-py",
        environment=None,
        module=[f"{_DRIVERS}.memsidecar"],
        client="redis-py",
        packages=["redis", "hiredis"],
        guarantees=_OWN_GUARANTEES,
        source=_OWN_SOURCE,
        cut=True,
    ),
    "redis-py asyncio": Peer(
        name=f"{MEMSIDECAR}, redis-py asyncio",
        environment=None,
        module=[f"{_DRIVERS}.memsidecar", "--asyncio"],
        client="redis-py asyncio",
        packages=["redis", "hiredis"],
        guarantees=_OWN_GUARANTEES,
        source=_OWN_SOURCE,
        cut=True,
    ),
}
"""memsidecar itself, with either client: each peer is compared with the one of its own kind."""

OWN_GENERATOR = f"{MEMSIDECAR}, load generator"
"""memsidecar without the cost of a client: where redis-py is the limit, this is what memsidecar can do."""

LANGCHAIN = Peer(
    name="LangChain RedisChatMessageHistory",
    environment="langchain",
    module=[f"{_DRIVERS}.langchain"],
    client="redis-py",
    packages=["langchain-community", "langchain-core", "redis", "hiredis"],
    guarantees=Guarantees(
        atomic="one message: yes (LPUSH); several: one LPUSH each; TTL: a command of its own",
        order="as Redis took them",
        writers="all kept",
        repeats="no",
        counts="none",
        budget="none: reads everything",
    ),
    source="langchain_community.chat_message_histories.RedisChatMessageHistory: add_message, messages",
)

LLAMAINDEX = Peer(
    name="LlamaIndex ChatMemoryBuffer, RedisChatStore",
    environment="llamaindex",
    module=[f"{_DRIVERS}.llamaindex"],
    client="redis-py",
    packages=["llama-index-storage-chat-store-redis", "llama-index-core", "tiktoken", "redis", "hiredis"],
    guarantees=Guarantees(
        atomic="one message: yes (RPUSH); several: one RPUSH each; TTL: a command of its own",
        order="as Redis took them, until one is deleted or inserted: that writes the list anew, not atomically",
        writers="appends all kept",
        repeats="no",
        counts="counted in the client in every read",
        budget="in the client: reads everything, counts all of it again for every message that goes",
    ),
    source=(
        "llama_index.storage.chat_store.redis.RedisChatStore: add_message, get_messages, delete_message; "
        "llama_index.core.memory.ChatMemoryBuffer: get"
    ),
    cut=True,
    note="counts the texts joined by blanks, without roles, and begins with a message of the user",
)

OPENAI_AGENTS = Peer(
    name="OpenAI Agents SDK RedisSession",
    environment="openai-agents",
    module=[f"{_DRIVERS}.openai_agents"],
    client="redis-py asyncio",
    packages=["openai-agents", "redis", "hiredis"],
    guarantees=Guarantees(
        atomic="yes: WATCH, MULTI, EXEC, also for many messages",
        order="as Redis took them",
        writers="all kept; who meets another starts over, without a limit",
        repeats="no",
        counts="none",
        budget="none: reads everything, or the newest n items",
    ),
    source="agents.extensions.memory.RedisSession: add_items, _mutate_items, get_items",
)

AGENT_FRAMEWORK = Peer(
    name="Agent Framework RedisHistoryProvider",
    environment="agent-framework",
    module=[f"{_DRIVERS}.agent_framework"],
    client="redis-py asyncio",
    packages=["agent-framework-redis", "agent-framework-core", "redis", "hiredis"],
    guarantees=Guarantees(
        atomic="yes: MULTI, EXEC, also for many messages",
        order="as Redis took them",
        writers="all kept; the look for repeats is outside of the transaction",
        repeats="those that repeat the newest messages, compared in the client",
        counts="none",
        budget="none: reads everything; `max_messages` trims what is stored",
    ),
    source="agent_framework.redis.RedisHistoryProvider: save_messages, get_messages; filter_new_messages",
    note="reads the whole memory before each append, so its rate falls with every message that is there",
)

PEERS = (LANGCHAIN, LLAMAINDEX, OPENAI_AGENTS, AGENT_FRAMEWORK)

LEFT_OUT = (
    LeftOut(
        "langchain-redis RedisChatMessageHistory",
        "needs Redis with RediSearch and RedisJSON; with a plain one its constructor fails: unknown command FT.INFO",
    ),
    LeftOut(
        "Agent Framework RedisContextProvider",
        "searches memories by text or vector, with RediSearch; it is not a conversation's history",
    ),
)
"""Named because one would look for them here. Both were looked at with the versions of langchain-redis 0.2.6 and
agent-framework-redis 1.0.0b261022."""
