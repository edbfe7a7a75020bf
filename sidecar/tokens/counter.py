"""Choosing who counts: the first fast engine that is there and proven right, else the exact one.

The counterparts are the engines, `sidecar.tokens.native`, `sidecar.tokens.fast` and `sidecar.tokens.exact`, and the
port `TextCounter` in `sidecar.memory.ports`, which all of them fit. What a chat message adds to its texts is not known
here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, TypeAlias, TypeVar

import structlog

from sidecar.tokens.exact import TiktokenCounter
from sidecar.tokens.fast import GigatokenCounter
from sidecar.tokens.native import NativeCounter
from sidecar.tokens.problems import FastEngineUnavailable
from sidecar.tokens.selfcheck import first_difference
from sidecar.tokens.vocabulary import vocabulary

Engine: TypeAlias = Literal["auto", "native", "gigatoken", "tiktoken"]
Counter: TypeAlias = NativeCounter | GigatokenCounter | TiktokenCounter

FAST: tuple[Engine, ...] = ("native", "gigatoken")
"""What `auto` tries, in this order: the first one is loaded sooner, takes less memory, and needs nothing installed."""

_logger = structlog.get_logger(__name__)
_counters: dict[tuple[str, Engine], Counter] = {}
_lock = threading.RLock()  # reentrant, because one counter is loaded through another


class _Counts(Protocol):
    @property
    def encoding(self) -> str: ...

    @property
    def engine(self) -> str: ...

    def count(self, text: str) -> int: ...


_CounterT = TypeVar("_CounterT", bound=_Counts)


def load_counter(encoding: str, engine: Engine = "auto") -> Counter:
    """Return the counter of a vocabulary: loaded by the first call (0.03 to 0.4 s), then always the same.

    Args:
        encoding: one of `ENCODINGS`.
        engine: `auto` takes the first of `FAST` that is installed and passes the self-check, else tiktoken, and that
            counter's `fallback_reason` says why; the others take that engine or fail.

    Raises:
        UnknownEncoding: no such vocabulary is shipped.
        BrokenVocabulary: its file is missing or damaged.
        FastEngineUnavailable: a fast engine was asked for by name and is not installed, or counts differently here.
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
    if engine == "native":
        return checked(NativeCounter(encoding))
    if engine == "gigatoken":
        return checked(GigatokenCounter(encoding, exact=lambda: load_counter(encoding, "tiktoken")))
    return choose(encoding, *(partial(load_counter, encoding, fast) for fast in FAST))


def choose(encoding: str, *fast: Callable[[], _CounterT]) -> _CounterT | TiktokenCounter:
    """Return the first fast counter, or tiktoken's with the reasons why.

    Args:
        encoding: one of `ENCODINGS`.
        fast: each returns a fast counter, or raises `FastEngineUnavailable`.
    """
    reasons = []
    for load in fast:
        try:
            return load()
        except FastEngineUnavailable as exc:
            if exc.installed:
                _logger.warning(
                    "a token engine cannot be used", encoding=encoding, engine=exc.engine, reason=exc.reason
                )
            reasons.append(f"{exc.engine}: {exc.reason}")
    return TiktokenCounter(encoding, fallback_reason="; ".join(reasons))


def checked(counter: _CounterT) -> _CounterT:
    """Return `counter`, proven on the texts of the self-check.

    Raises:
        FastEngineUnavailable: one count differs from tiktoken's.
    """
    difference = first_difference(counter.count, counter.encoding)
    if difference is not None:
        raise FastEngineUnavailable(counter.engine, f"it counts differently from tiktoken: {difference}")
    return counter
