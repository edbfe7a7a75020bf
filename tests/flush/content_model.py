"""What a memory must hold, as values: the model of `flushed_world`. No Redis here."""

from __future__ import annotations

from dataclasses import dataclass, replace


def order(id_: str) -> tuple[int, ...]:
    """Return what ids are compared by."""
    return tuple(map(int, id_.split("-")))


@dataclass(frozen=True)
class Said:
    """One message that must be stored."""

    id: str
    role: str
    tokens: int


@dataclass(frozen=True)
class Content:
    """What a memory must hold: its log, what is kept, the summary, and how many messages flushes have taken."""

    log: tuple[Said, ...] = ()
    kept: frozenset[str] = frozenset()
    summary: str = ""
    flushed: int = 0

    @property
    def ids(self) -> list[str]:
        """The ids in order."""
        return [said.id for said in self.log]

    def without(self, gone: frozenset[str]) -> Content:
        """Return it without some messages."""
        return replace(self, log=tuple(said for said in self.log if said.id not in gone), kept=self.kept - gone)

    def totals(self) -> dict[str, int]:
        """Return the sums that `meta` must hold."""
        kept = [said.tokens for said in self.log if said.id in self.kept]
        return {
            "messages": len(self.log),
            "tokens": sum(said.tokens for said in self.log),
            "kept_messages": len(kept),
            "kept_tokens": sum(kept),
            "summary_messages": self.flushed,
        }
