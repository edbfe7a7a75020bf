"""What a process and its deputy say to each other: frames of JSON, each with its length in front.

The counterparts are `deputy`, which sends errands, and `duty`, which does them. Small things only: which memory, and
what came out. Messages never travel here; the deputy reads them from Redis itself.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from sidecar.errors import (
    DeputyLost,
    FlushRefused,
    MemsidecarError,
    RedisRefused,
    SummariserRefused,
    SummariserUnavailable,
    SummaryRejected,
    Unavailable,
    Uncertain,
)
from sidecar.flush.ticket import PlanFacts, Ticket
from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.store.flush_words import Deed

Kind = Literal["plan", "summarise", "prepare", "preview"]

RESULTS: dict[Kind, Any] = {"plan": PlanFacts, "summarise": int, "prepare": Deed, "preview": FlushOutcome}
"""What comes out of each kind of errand."""

READY = 0
"""Number of the answer that a deputy gives unasked, once it can work. Errands count from 1."""

_LENGTH_BYTES = 4

_FACTS = (int, float, str, type(None))
"""Attributes of an error that travel with it."""

_TROUBLES = {
    kind.__name__: kind
    for kind in (
        FlushRefused,
        RedisRefused,
        Unavailable,
        Uncertain,
        SummariserUnavailable,
        SummariserRefused,
        SummaryRejected,
    )
}
"""What an errand may end with by its contract. Anything else is a bug of ours."""


class Errand(msgspec.Struct, frozen=True, tag=True):
    """Work to do: `ticket` says on what, with `preview` it is `order`."""

    number: int
    kind: Kind
    definition: Definition
    ticket: Ticket | None = None
    order: FlushOrder | None = None


class _ToldErrand(msgspec.Struct, frozen=True, tag=Errand.__name__):
    """An errand as it is read. msgspec builds what it reads from the types of the fields, and a definition that mypyc
    has compiled no longer tells them: it has `type` in place of every `Literal`, `X | None` and `tuple[X, ...]`."""

    number: int
    kind: Kind
    definition: dict[str, Any]
    ticket: Ticket | None = None
    order: FlushOrder | None = None

    def errand(self) -> Errand:
        return Errand(self.number, self.kind, _definition(self.definition), self.ticket, self.order)


def _definition(told: dict[str, Any]) -> Definition:
    privacy = _tuples(told["privacy"])
    parts = {
        "priority_blocks": tuple(PriorityBlock(**_tuples(block)) for block in told["priority_blocks"]),
        "flush": FlushPolicy(**told["flush"]),
        "privacy": PrivacyPolicy(
            **privacy | {"patterns": tuple(RedactionPattern(**one) for one in privacy["patterns"])}
        ),
        "locking": LockPolicy(**told["locking"]),
    }
    return Definition(**told | parts)


def _tuples(told: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


class Recall(msgspec.Struct, frozen=True, tag=True):
    """An errand whose outcome nobody waits for any more."""

    number: int


class Trouble(msgspec.Struct, frozen=True):
    """An error: the name of its class, its text, and what else it carries."""

    kind: str
    text: str
    facts: dict[str, bool | int | float | str | None] = {}

    @classmethod
    def of(cls, problem: Exception) -> Trouble:
        """Return what travels of an error. Of a bug only its type does: its text may hold a message's."""
        kind = type(problem).__name__
        if kind not in _TROUBLES:
            return cls("", f"internal error: {kind}")
        return cls(kind, str(problem), {name: fact for name, fact in vars(problem).items() if isinstance(fact, _FACTS)})

    def error(self) -> MemsidecarError:
        """Return the error again."""
        kind = _TROUBLES.get(self.kind)
        if kind is None:
            return DeputyLost(self.text)
        # Its constructor would build the text anew, out of facts that are not all kept.
        problem = kind.__new__(kind, self.text)
        problem.__dict__.update(self.facts)
        return problem


class Answer(msgspec.Struct, frozen=True, tag=True):
    """How an errand ended: with a value of the type that `RESULTS` names, or with trouble."""

    number: int
    value: msgspec.Raw = msgspec.Raw(b"null")
    trouble: Trouble | None = None


def framed(message: Errand | Recall | Answer | msgspec.Struct) -> bytes:
    """Return a message as it is written."""
    text = msgspec.json.encode(message)
    return len(text).to_bytes(_LENGTH_BYTES, "big") + text


async def next_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the JSON of the next message; None when the other side has gone."""
    try:
        length = await reader.readexactly(_LENGTH_BYTES)
        return await reader.readexactly(int.from_bytes(length, "big"))
    except (asyncio.IncompleteReadError, OSError):
        return None


def to_order(frame: bytes) -> Errand | Recall:
    """Read what a deputy is told."""
    told = msgspec.json.decode(frame, type=_ToldErrand | Recall)
    return told if isinstance(told, Recall) else told.errand()


def to_answer(frame: bytes) -> Answer:
    """Read what a deputy says."""
    return msgspec.json.decode(frame, type=Answer)
