"""One memory on its way in.

It is gathered aside and becomes visible in one step (`store.incoming`). By the digest of what has been gathered, an
import that broke off goes on where it was; by that of the whole, which is kept with the memory, one that is run again
passes it over. What is stored goes through the same intake as an append: limits, roles that are not kept, redaction,
classes, and exact counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from sidecar.commands.messages import from_fields
from sidecar.errors import BadMessage, OverBudget
from sidecar.memory.addressing import Memory
from sidecar.memory.intake import Intake
from sidecar.store.incoming import PAGE_BYTES, PAGE_MESSAGES, Arrival, Gathered, Incoming
from sidecar.store.outgoing import Summary
from sidecar.transfer.problems import LineProblem, MemoryProblem
from sidecar.transfer.progress import Progress
from sidecar.transfer.sources import End, Said

FUTURE_MS = 24 * 3_600_000
"""How far an id may be ahead of our clock, which may be wrong by some time zones. Later ids must be greater, so one of
the year 9999 would date all later messages of its memory."""

DIGEST_BYTES = 20

_ID = re.compile(r"(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})", re.ASCII)

_NOT_EMPTY = "something else is there already; clear it with MEMCLEAR, or import into another --definition"

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Imported:
    """What was stored.

    Args:
        memories, messages, tokens: totals; tokens with the summaries.
        there: memories that an earlier run had brought.
        dropped: messages of roles that their definition does not keep.
    """

    memories: int = 0
    messages: int = 0
    tokens: int = 0
    there: int = 0
    dropped: int = 0


class Arriving:
    """A memory from its beginning to its end.

    Args:
        memory: where it goes.
        summary: what it begins with, counted, or None.
        incoming: stores it; None to check it and store nothing.
        intake, count: of its definition.
        now_ms: the time.
        progress: is told of every message.
        done: counts it.
    """

    def __init__(
        self,
        memory: Memory,
        summary: Summary | None,
        *,
        incoming: Incoming | None,
        intake: Intake,
        count: Callable[[str], int],
        now_ms: int,
        progress: Progress,
        done: Imported,
    ) -> None:
        self.key = f"{memory.definition.id}:{memory.instance}"
        self._memory = memory
        self._summary = summary
        self._incoming = incoming
        self._intake = intake
        self._count = count
        self._latest_ms = now_ms + FUTURE_MS
        self._progress = progress
        self._done = done
        beginning = _encode((self.key, None if summary is None else summary.text))
        self._whole = blake2b(beginning, digest_size=DIGEST_BYTES)  # of all messages
        self._kept_ones = blake2b(beginning, digest_size=DIGEST_BYTES)  # of those that are stored
        self._name = self._whole.hexdigest()  # under which it is gathered
        self._last_id = (0, 0)
        self._page: list[Arrival] = []
        self._page_bytes = 0
        self._messages = self._kept = self._tokens = 0
        self._sent = 0
        self._earlier = Gathered()
        self._filled = False
        self._made_by = ""

    async def begin(self) -> None:
        """Look what is there, and how far an earlier run has come.

        Raises:
            BadMessage: the summary has ids that are none.
            MemoryProblem: something else is there.
            UpstreamError: Redis refused, or cannot be reached.
        """
        first, last = ("", "") if self._summary is None else (self._summary.first_id, self._summary.last_id)
        if (first or last) and _parts_of(first) > _parts_of(last):
            raise BadMessage("last_id of the summary is before its first_id")
        if self._incoming is None:
            return
        self._filled, self._made_by = await self._incoming.present(self._memory)
        if not self._filled:
            encoding = self._memory.definition.encoding
            self._earlier = await self._incoming.gathered(self._memory, self._name, encoding)
        elif not self._made_by.startswith("import:"):
            raise MemoryProblem(self.key, _NOT_EMPTY)

    async def add(self, said: Said) -> None:
        """Take a message.

        Raises:
            BadMessage, PrivacyFailed: it cannot be stored.
            MemoryProblem, UpstreamError: see `end`.
        """
        self._messages += 1
        message = from_fields(said.fields, self._messages)
        id_ = self._id_of(said)
        form = _encode((message.role, message.content, message.fields, said.id, said.pinned))
        self._whole.update(form)
        admitted = self._intake.admit([message]).messages
        self._done.dropped += 1 - len(admitted)
        for kept, weight in zip(admitted, self._intake.weigh(admitted, self._count), strict=True):
            self._kept_ones.update(form)
            self._kept += 1
            self._tokens += int(str(weight).partition(" ")[0])
            self._page.append(Arrival(id_, kept, weight, said.pinned))
            self._page_bytes += len(form)
            if (
                len(self._page) >= PAGE_MESSAGES
                or self._page_bytes >= PAGE_BYTES
                or self._kept == self._earlier.messages
            ):
                await self._send()
        self._progress.messages(1)

    async def end(self, end: End) -> None:
        """Store it: it is complete.

        Raises:
            LineProblem: it is not.
            OverBudget: it is more than its definition lets a memory hold.
            MemoryProblem: something else is there, or somebody holds its lock.
            UpstreamError: Redis refused, or cannot be reached.
        """
        if end.messages != self._messages:
            here = f"{self.key} has {self._messages} messages here, and its end says {end.messages}"
            raise LineProblem(*end.place, f"{here}; nothing of it was stored")
        self._check_limits()
        identity = f"import:{self._whole.hexdigest()}"
        if self._made_by == identity:
            await self.drop()
            self._done.there += 1
            return
        if self._filled:
            raise MemoryProblem(self.key, _NOT_EMPTY)
        if self._incoming is not None and (self._kept or self._summary is not None):
            if self._kept < self._earlier.messages:
                await self._refuse_earlier()
            await self._send()
            await self._commit(self._incoming, identity)
        self._done.memories += 1
        self._done.messages += self._kept
        self._done.tokens += self._tokens + (self._summary.tokens if self._summary else 0)

    async def drop(self) -> None:
        """Forget what was gathered."""
        if self._incoming is not None and not self._filled:
            await self._incoming.drop(self._memory, self._name)

    # ---- to Redis ----

    async def _send(self) -> None:
        """Gather the page, unless an earlier run has."""
        page, self._page, self._page_bytes = self._page, [], 0
        if self._incoming is None or self._filled:
            return
        digest = self._kept_ones.hexdigest()
        if 0 < self._kept <= self._earlier.messages:
            if self._kept == self._earlier.messages and digest != self._earlier.digest:
                await self._refuse_earlier()
            self._sent = self._kept
            return
        encoding = self._memory.definition.encoding
        there = await self._incoming.gather(self._memory, self._name, encoding, page, self._sent, digest)
        if there != Gathered(self._kept, digest):
            raise MemoryProblem(self.key, "another import of it is under way; nothing of it was stored by this one")
        self._sent = self._kept

    async def _refuse_earlier(self) -> None:
        await self.drop()
        raise MemoryProblem(
            self.key, "an import that broke off had gathered other messages for it; these were dropped, run it again"
        )

    async def _commit(self, incoming: Incoming, identity: str) -> None:
        outcome = await incoming.commit(self._memory, self._name, self._summary, identity)
        if outcome == "not-empty":
            raise MemoryProblem(self.key, _NOT_EMPTY)
        if outcome == "stale-lock":
            raise MemoryProblem(self.key, "somebody holds its lock; nothing of it was stored, try again later")
        if outcome != "done":
            raise MemoryProblem(self.key, "Redis has dropped a part of what was gathered; run the import again")

    # ---- checks ----

    def _id_of(self, said: Said) -> str:
        """Return the id that a message gets: its own, or the next one."""
        if not said.id:
            milliseconds, sequence = self._last_id
            self._last_id = (max(milliseconds, 1), sequence + 1)
            return "-".join(map(str, self._last_id))
        id_ = _parts_of(said.id)
        if id_ <= self._last_id:
            raise BadMessage(f"the id {said.id} must be greater than that of the message before it; ids rise, from 0-1")
        if id_[0] > self._latest_ms:
            raise BadMessage(f"the id {said.id} lies in the future: its first part is a time in milliseconds")
        self._last_id = id_
        return said.id

    def _check_limits(self) -> None:
        """Refuse what an append could not have stored.

        Raises:
            OverBudget: it is above a hard limit.
        """
        definition = self._memory.definition
        if definition.overflow == "allow":
            return
        tokens = self._tokens + (self._summary.tokens if self._summary else 0)
        sums = ((tokens, definition.max_tokens, "tokens"), (self._kept, definition.max_messages, "messages"))
        for amount, most, unit in sums:
            if most is not None and amount > most:
                raise OverBudget(
                    f"{self.key} has {amount} {unit}, and '{definition.id}' holds at most {most}; import it into a "
                    "definition with overflow: allow, which a flush brings down"
                )


def _parts_of(id_: str) -> tuple[int, int]:
    """Return the two numbers of an id."""
    found = _ID.fullmatch(id_)
    if found is None:
        raise BadMessage(f"'{id_[:64]}' is no id; it is two numbers, such as 1732312345678-0, or left out")
    return int(found[1]), int(found[2])
