"""Choosing who counts: our own C where it was compiled and is proven right, else tiktoken.

The counterparts are the engines, `sidecar.tokens.native` and `sidecar.tokens.reference`, and the port `TextCounter` in
`sidecar.memory.ports`, which both of them fit. What a chat message adds to its texts is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, TypeAlias, TypeVar

import structlog

from sidecar.tokens.native import NativeCounter
from sidecar.tokens.problems import NativeUnavailable
from sidecar.tokens.reference import TiktokenCounter
from sidecar.tokens.selfcheck import first_difference
from sidecar.tokens.vocabulary import vocabulary

Engine: TypeAlias = Literal["auto", "native", "tiktoken"]
Counter: TypeAlias = NativeCounter | TiktokenCounter

_logger = structlog.get_logger(__name__)
_counters: dict[tuple[str, Engine], Counter] = {}
_lock = threading.RLock()  # reentrant, because `auto` is loaded through the others


class _Counts(Protocol):
    @property
    def encoding(self) -> str: ...

    def count(self, text: str) -> int: ...


_CounterT = TypeVar("_CounterT", bound=_Counts)


def load_counter(encoding: str, engine: Engine = "auto") -> Counter:
    """Return the counter of a vocabulary: loaded by the first call (0.03 to 0.2 s), then always the same.

    Args:
        encoding: one of `ENCODINGS`.
        engine: `auto` takes `native` where it was compiled and passes the self-check, else tiktoken, and the log says
            why; the others take that engine or fail.

    Raises:
        UnknownEncoding: no such vocabulary is shipped.
        BrokenVocabulary: its file is missing or damaged.
        NativeUnavailable: `native` was asked for by name and was not compiled, or counts differently here.
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
    return choose(encoding, partial(load_counter, encoding, "native"))


def choose(encoding: str, native: Callable[[], _CounterT]) -> _CounterT | Counter:
    """Return what `native` returns; where it raises `NativeUnavailable`, tiktoken's counter, with a line in the log."""
    try:
        return native()
    except NativeUnavailable as exc:
        if exc.compiled:
            _logger.warning("tokens.engine_unusable", encoding=encoding, reason=exc.reason)
        else:  # somebody may have wanted it so
            _logger.info("tokens.engine_missing", encoding=encoding, reason=exc.reason)
        return load_counter(encoding, "tiktoken")


def checked(counter: _CounterT) -> _CounterT:
    """Return `counter`, proven on the texts of the self-check.

    Raises:
        NativeUnavailable: one count differs from tiktoken's.
    """
    difference = first_difference(counter.count, counter.encoding)
    if difference is not None:
        raise NativeUnavailable(f"it counts differently from tiktoken: {difference}")
    return counter
