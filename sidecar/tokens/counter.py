"""Choosing who counts: the fast engine where it is proven right, else the exact one.

The counterparts are the two engines, `sidecar.tokens.exact` and `sidecar.tokens.fast`, and the port
`TextCounter` in `sidecar.memory.ports`, which both fit. What a chat message adds to its texts is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, TypeVar

import structlog

from sidecar.tokens.exact import TiktokenCounter
from sidecar.tokens.fast import GigatokenCounter
from sidecar.tokens.problems import FastEngineUnavailable
from sidecar.tokens.selfcheck import first_difference
from sidecar.tokens.vocabulary import vocabulary

Engine: TypeAlias = Literal["auto", "tiktoken", "gigatoken"]
Counter: TypeAlias = TiktokenCounter | GigatokenCounter

_logger = structlog.get_logger(__name__)
_counters: dict[tuple[str, Engine], Counter] = {}
_lock = threading.RLock()  # reentrant, because one counter is loaded through another


class _Counts(Protocol):
    @property
    def encoding(self) -> str: ...

    def count(self, text: str) -> int: ...


_CounterT = TypeVar("_CounterT", bound=_Counts)


def load_counter(encoding: str, engine: Engine = "auto") -> Counter:
    """Return the counter of a vocabulary: loaded by the first call (0.2 to 0.4 s), then always the same.

    Args:
        encoding: one of `ENCODINGS`.
        engine: `auto` takes gigatoken where it is installed and passes the self-check, else tiktoken, and the
            counter's `fallback_reason` says why; the other two take that engine or fail.

    Raises:
        UnknownEncoding: no such vocabulary is shipped.
        BrokenVocabulary: its file is missing or damaged.
        FastEngineUnavailable: `gigatoken` was asked for and is not installed, or counts differently here.
    """
    name = vocabulary(encoding).name
    with _lock:
        counter = _counters.get((name, engine))
        if counter is None:
            counter = _counters[name, engine] = _load(name, engine)
        return counter


def _load(encoding: str, engine: Engine) -> Counter:
    if engine == "tiktoken":
        return TiktokenCounter(encoding)
    if engine == "gigatoken":
        return checked(GigatokenCounter(encoding, exact=lambda: load_counter(encoding, "tiktoken")))
    return choose(encoding, lambda: load_counter(encoding, "gigatoken"))


def choose(encoding: str, fast: Callable[[], _CounterT]) -> _CounterT | TiktokenCounter:
    """Return the fast counter, or tiktoken's with the reason why.

    Args:
        encoding: one of `ENCODINGS`.
        fast: returns the fast counter, or raises `FastEngineUnavailable`.
    """
    try:
        return fast()
    except FastEngineUnavailable as exc:
        if exc.installed:
            _logger.warning("tokens are counted by tiktoken, which is slower", encoding=encoding, reason=exc.reason)
        return TiktokenCounter(encoding, fallback_reason=exc.reason)


def checked(counter: _CounterT) -> _CounterT:
    """Return `counter`, proven on the texts of the self-check.

    Raises:
        FastEngineUnavailable: one count differs from tiktoken's.
    """
    difference = first_difference(counter.count, counter.encoding)
    if difference is not None:
        raise FastEngineUnavailable(f"it counts differently from tiktoken: {difference}")
    return counter
