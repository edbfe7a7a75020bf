"""Counting tokens: memsidecar's counter against tiktoken's `encode_ordinary`, both in this process, on the same texts.

No server and no protocol. Both must give the same counts, text for text. What an append takes with all that is around
the counting is in `append`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle, islice
from random import Random
from time import perf_counter, process_time
from typing import Protocol

from benchmarks.conversation import SEED, messages
from benchmarks.load import Sample
from benchmarks.rows import COUNTING, COUNTING_DIFFERENT
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, Figure
from sidecar.tokens.counter import load_counter
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding

SHORTEST_BYTES, LONGEST_BYTES = 40, 2_000
TEXTS = 8_000
"""As many as an append has, 8 MB; but for some of the shortest, all of them are different."""

BLOCK = 100
"""Texts between two looks at the clock: 0.3 ms at the least."""

TIKTOKEN = "tiktoken encode_ordinary"

_FOREIGN_EVERY = 10
"""Every so many texts one ends in another script: who counts takes other ways there."""

_FOREIGN = (
    "Größe 42 wäre schön, danke für die schnelle Antwort!",
    "¿Podría decirme cuándo llegará el paquete, por favor?",
    "请问这个订单什么时候可以发货。谢谢您的帮助。",
    "この商品の返品は可能でしょうか。",
    "هل يمكنني تغيير عنوان التسليم؟",
    "Where is it? 😡📦 … 👍🏽",
    '{"order": 4711, "items": [{"sku": "A-1", "qty": 2}], "total": 19.90}',
)


def counting_cases() -> Iterator[Case]:
    """Return a case for the default vocabulary."""
    encoding = ENCODINGS[0]
    counter = load_counter(encoding)
    mine = f"{MEMSIDECAR}, {counter.engine}"
    # What is promised is promised of our own C; where it was not compiled, tiktoken is compared with itself.
    row = None if counter.engine == "tiktoken" else COUNTING
    yield Case(
        scenario="counting",
        name=f"{encoding}, texts of {SHORTEST_BYTES} to {LONGEST_BYTES:,} bytes",
        parameters={"encoding": encoding, "engine": counter.engine, "texts": TEXTS},
        contenders=[
            Contender(TIKTOKEN, lambda: CountingMeter(load_encoding(encoding).encode_ordinary)),
            Contender(mine, lambda: CountingMeter(counter.count)),
        ],
        comparisons=[Comparison(mine, TIKTOKEN, row=row)],
        figures=lambda: [Figure("texts with different counts", [float(different(counter))], row=COUNTING_DIFFERENT)],
    )


class Counts(Protocol):
    """Counts the tokens of one vocabulary."""

    encoding: str

    def count(self, text: str) -> int:
        """Return the tokens of `text`."""
        ...


class CountingMeter:
    """Counts text by text, in a circle, with `count`, whatever that returns."""

    def __init__(self, count: Callable[[str], object]) -> None:
        self._count = count
        self._texts = cycle(texts())

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement; a request is one text.

        Its seconds are CPU time: nothing here waits for anybody, so that is what an idle machine would take.
        """
        self._run(warm_up_s)
        counted, spent = self._run(seconds)
        return Sample(counted, spent, None, None)

    def _run(self, seconds: float) -> tuple[int, float]:
        """Count for `seconds`, one block at least; return the number of texts and the CPU time."""
        counted, count = 0, self._count
        begun, deadline = process_time(), perf_counter() + seconds
        while not counted or perf_counter() < deadline:
            for text in islice(self._texts, BLOCK):
                count(text)
            counted += BLOCK
        return counted, process_time() - begun


def different(counter: Counts) -> int:
    """Return how many of the texts `counter` counts differently from tiktoken."""
    exact = load_encoding(counter.encoding).encode_ordinary
    return sum(counter.count(text) != len(exact(text)) for text in texts())


@cache
def texts() -> tuple[str, ...]:
    """Return texts of all lengths between the shortest and the longest, always the same ones."""
    random, source = Random(SEED), cycle(messages(TEXTS))
    return tuple(_text(random, source, number) for number in range(TEXTS))


def _text(random: Random, source: Iterator[str], number: int) -> str:
    length = random.randint(SHORTEST_BYTES, LONGEST_BYTES)
    text = next(source)
    while len(text) < length:
        text += " " + next(source)
    if number % _FOREIGN_EVERY:
        return text[:length]
    tail = _FOREIGN[number // _FOREIGN_EVERY % len(_FOREIGN)]
    return text[: max(length - len(tail.encode()), 0)] + tail
