"""What the commands make of a memory, said a second time: in plain Python, over a list instead of a stream.

The counterpart of `model`, which says what a read returns. It knows no ids that it was not told: the driver reads the
new ones from the stream and hands them in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from sidecar.memory.definition import Definition
from tests.store.model import Id, Stored, Unit, units


@dataclass(frozen=True)
class New:
    """A message that is to be stored. `kind`: its class; `critical`: whether that is a critical one."""

    role: str
    tokens: int
    calls: tuple[str, ...] = ()
    answers: str | None = None
    kind: str = ""
    critical: bool = False

    def stored(self, id_: Id) -> Stored:
        """Return it as it lies in the log."""
        return Stored(id_, self.role, self.tokens, self.calls, self.answers, self.kind, pinned=self.critical)


@dataclass
class Model:
    """One memory.

    Args:
        definition: what it is allowed to hold.
        log: its messages.
        summary_tokens: of its summary, 0 for none.
        exists: whether there is one, be it empty.
        due: whether it is marked for a flush.
        holder: token of the lease on it, "" for none.
        newest: the greatest id that it ever had.
    """

    definition: Definition
    log: list[Stored] = field(default_factory=list)
    summary_tokens: int = 0
    exists: bool = False
    due: bool = False
    holder: str = ""
    newest: Id = (0, 0)

    @property
    def tokens(self) -> int:
        return sum(message.tokens for message in self.log)

    @property
    def kept(self) -> list[Stored]:
        return [message for message in self.log if message.kept]

    @property
    def over(self) -> bool:
        """Whether it is above a threshold."""
        tokens, messages = self.definition.threshold_tokens, self.definition.threshold_messages
        return (tokens is not None and self.tokens + self.summary_tokens > tokens) or (
            messages is not None and len(self.log) > messages
        )

    def refuses(self, token: str) -> str:
        """Return the word of the refusal that the lease means for a change with this token."""
        if token == self.holder:
            return ""
        return "stale" if token else "locked"

    # ---- changes ----

    def room_for(self, new: Sequence[New], *, afresh: bool) -> list[Id] | None:
        """Return the messages that go so that others may come, None if they may not."""
        if not new or self.definition.overflow == "allow":
            return []
        weight = sum(message.tokens for message in new)
        held, tokens = (0, 0) if afresh else (len(self.log), self.tokens + self.summary_tokens)
        most_messages, most_tokens = self.definition.max_messages, self.definition.max_tokens
        many = 0 if most_messages is None else max(0, held + len(new) - most_messages)
        long = 0 if most_tokens is None else max(0, tokens + weight - most_tokens)
        if not many and not long:
            return []
        return None if afresh or self.definition.overflow == "reject" else self._oldest(many, long, new)

    def _oldest(self, many: int, long: int, new: Sequence[New]) -> list[Id] | None:
        gone: list[Stored] = []
        decided: set[Id] = set()
        whole = units(self._with(new))
        current = self._current(new)
        for message in self.log:
            if len(gone) >= many and sum(each.tokens for each in gone) >= long:
                break
            if message.id in decided:
                continue
            unit = whole[message.id]
            decided |= {member.id for member in unit.members}
            if not any(member.kept or member.id in current for member in unit.members):
                gone += unit.members
        if len(gone) < many or sum(each.tokens for each in gone) < long:
            return None
        return [message.id for message in gone]

    def _with(self, new: Sequence[New]) -> list[Stored]:
        return self.log + [message.stored((self.newest[0] + 1, at)) for at, message in enumerate(new)]

    def _current(self, new: Sequence[New]) -> set[Id]:
        """Return what the conversation goes on from: what is new, the newest of the talk, a call that waits."""
        log = self._with(new)
        found = {message.id for message in log[len(self.log) :]}
        found |= {message.id for message in [each for each in log if each.role not in ("system", "developer")][-1:]}
        last = [message for message in log if message.role != "tool"][-1:]
        for caller in last:
            answered = {member.answers for member in units(log)[caller.id].members}
            if not answered.issuperset(caller.calls):
                found.add(caller.id)
        return found

    def append(self, new: Sequence[New], ids: Sequence[Id]) -> None:
        """Take messages in, under ids that must be greater than all before."""
        assert list(ids) == sorted({*ids})
        assert not ids or ids[0] > self.newest
        self.log += [message.stored(id_) for message, id_ in zip(new, ids, strict=True)]
        self.newest = max((self.newest, *ids))
        self.exists = self.exists or bool(new)
        self.due = self.due or (self.over and bool(new))

    def remove(self, ids: Collection[Id]) -> None:
        self.log = [message for message in self.log if message.id not in ids]

    def empty(self) -> None:
        """Lose the whole content."""
        self.log, self.summary_tokens, self.due = [], 0, False

    def delete(self, ids: Collection[Id], *, whole: bool) -> int:
        """Delete messages, or `whole` units; return how many."""
        unit_of: dict[Id, Unit] = units(self.log) if whole else {}
        gone = {
            each.id
            for message in self.log
            if message.id in ids
            for each in (unit_of[message.id].members if whole else (message,))
        }
        self.remove(gone)
        if self.exists:  # the mark of a memory that has expired is the sweeper's business
            self.due = self.due and self.over
        return len(gone)

    def pin(self, ids: Collection[Id], *, pinned: bool) -> int:
        """Pin messages, or no longer; return for how many that changed something."""
        changed = {
            message.id
            for message in self.log
            if message.id in ids and message.role not in ("system", "developer") and message.pinned != pinned
        }
        self.log = [replace(message, pinned=pinned) if message.id in changed else message for message in self.log]
        return len(changed)

    def fork(self, source: Model, at: Id | None) -> bool:
        """Become a copy of another one; False where that has nothing to copy."""
        log = [message for message in source.log if at is None or message.id <= at]
        if not log and not source.summary_tokens:
            return False
        self.log, self.summary_tokens, self.exists = log, source.summary_tokens, True
        self.newest = max((self.newest, *(message.id for message in log)))
        self.due = self.due or self.over
        return True
