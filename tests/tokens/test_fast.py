"""Tests of `sidecar.tokens.fast`."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from structlog.testing import capture_logs

from sidecar.tokens.cuts import SLICE_CHARS
from sidecar.tokens.exact import TiktokenCounter
from sidecar.tokens.fast import LONGEST_WORD_CHARS, GigatokenCounter, require_verified
from sidecar.tokens.growth import CHARS_BETWEEN_LOOKS, LEAST_CHARS_BETWEEN, Growth
from sidecar.tokens.problems import BrokenVocabulary, FastEngineUnavailable, NotUnicode, UnknownEncoding
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding, vocabulary
from tests.tokens.texts import TEXTS, gigatoken_alone, run_python


def nobody() -> TiktokenCounter:
    raise AssertionError("gigatoken should have counted this text itself")


@functools.cache
def shared(encoding: str) -> GigatokenCounter:
    return GigatokenCounter(encoding, exact=lambda: TiktokenCounter(encoding))


@functools.cache
def alone(encoding: str) -> GigatokenCounter:
    return GigatokenCounter(encoding, exact=nobody)


def expected(encoding: str, text: str) -> int:
    return len(load_encoding(encoding).encode(text, disallowed_special=()))


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=1500, deadline=None)
@given(text=TEXTS)
@example(text="<|endoftext|>")
@example(text="a\u088f's")
def test_it_counts_what_tiktoken_encodes(encoding: str, text: str) -> None:
    """The count of any text is the length of its encoding by tiktoken."""
    assert shared(encoding).count(text) == expected(encoding, text)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_token_of_the_vocabulary(encoding: str) -> None:
    """The text of each single token has the same count with both engines."""
    tokens, counter = load_encoding(encoding), alone(encoding)
    texts = []
    for token in tokens.token_byte_values():
        try:
            texts.append(token.decode())
        except UnicodeDecodeError:
            continue  # part of a character
    assert len(texts) > 90_000
    assert [t for t in texts if counter.count(t) != len(tokens.encode_ordinary(t))] == []


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox, it's said, jumps. " * 5000,
        "\u4eca\u65e5\u306f\u6674\u308c\u3002" * 30_000,
        "caf\u00e9 \U0001f469\u200d\U0001f680 \u2014 ok\r\n" * 10_000,
        "x" * SLICE_CHARS,
        "x" * LONGEST_WORD_CHARS,
        "a" * SLICE_CHARS + " " * SLICE_CHARS + "b",
    ],
    ids=["english", "japanese", "emoji", "one slice", "two slices", "blanks"],
)
def test_large_texts(encoding: str, text: str) -> None:
    """A text that is counted in slices has the count of the whole, and gigatoken counts it by itself."""
    assert alone(encoding).count(text) == expected(encoding, text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "text", ["ab" * LONGEST_WORD_CHARS, "a b " * SLICE_CHARS + "\u6f22\u3042" * LONGEST_WORD_CHARS]
)
def test_endless_words_are_counted_outside_the_gil(encoding: str, text: str) -> None:
    """A word of more than 128 Ki characters is left to tiktoken, which releases the GIL, and counted right."""
    asked: list[str] = []

    def exact() -> TiktokenCounter:
        asked.append(encoding)
        return TiktokenCounter(encoding)

    assert GigatokenCounter(encoding, exact=exact).count(text) == expected(encoding, text)
    assert asked == [encoding]


def test_code_points_on_which_the_engines_differ_are_counted_by_tiktoken() -> None:
    """Where gigatoken alone would be wrong, the counter is right."""
    text = "a\u088f's"
    assert len(gigatoken_alone("o200k_base")(text)) != expected("o200k_base", text)
    assert shared("o200k_base").count(text) == expected("o200k_base", text)


@pytest.mark.parametrize(
    ("text", "position"),
    [("\ud800", 0), ("a\udc00", 1), ("\ude00\ud83d", 0), ("x " * SLICE_CHARS + "\udfff", 2 * SLICE_CHARS)],
)
def test_lone_surrogates_are_refused(text: str, position: int) -> None:
    """A text with half of a surrogate pair is an error that names its position, in large texts too."""
    with pytest.raises(NotUnicode, match=f"at character {position};"):
        alone("o200k_base").count(text)


def test_threads_share_a_counter() -> None:
    """Counts are right when many threads count at once, also while gigatoken is built anew."""
    texts = [f"thread {n}: caf\u00e9 {'word ' * n}" for n in range(400)]
    growth = Growth(resident=growing(10), limit=10)
    counter = GigatokenCounter("cl100k_base", exact=nobody, growth=growth)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(counter.count, texts * 10))
    assert counts == [expected("cl100k_base", text) for text in texts] * 10
    assert counter.builds >= 2


def test_what_it_says_of_itself() -> None:
    """A counter names its vocabulary and engine."""
    counter = alone("cl100k_base")
    assert (counter.encoding, counter.engine, counter.fallback_reason) == ("cl100k_base", "gigatoken", None)


@pytest.mark.parametrize("found", ["0.10.0", "0.10.3"])
def test_verified_versions(found: str) -> None:
    """A version of the series that was compared with tiktoken is accepted."""
    require_verified(found)


@pytest.mark.parametrize(
    ("found", "installed", "reason"),
    [
        (None, False, "it is not installed"),
        ("0.9.0", True, "version 0.9.0 is not verified to count like tiktoken, 0.10.* is"),
        ("0.11.0", True, "version 0.11.0 is not verified to count like tiktoken, 0.10.* is"),
        ("1.0", True, "version 1.0 is not verified to count like tiktoken, 0.10.* is"),
    ],
)
def test_other_versions(found: str | None, installed: bool, reason: str) -> None:
    """Another version, or none, is refused, and the error tells which of the two it is."""
    with pytest.raises(FastEngineUnavailable) as caught:
        require_verified(found)
    assert (caught.value.installed, caught.value.reason) == (installed, reason)


def test_an_unknown_encoding_is_refused() -> None:
    """A counter for a vocabulary that is not shipped is an error."""
    with pytest.raises(UnknownEncoding):
        GigatokenCounter("gpt2", exact=nobody)


def test_a_damaged_vocabulary_is_refused(tmp_path: Path) -> None:
    """gigatoken, which checks no hash itself, is never given a file that is not the shipped one."""
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(vocabulary("cl100k_base").read()[:-10])
    with pytest.raises(BrokenVocabulary):
        GigatokenCounter("cl100k_base", exact=nobody, directory=tmp_path)


def growing(limit: int) -> Callable[[], int]:
    """A process that grows by `limit` between any two looks."""
    size = 0

    def look() -> int:
        nonlocal size
        size += limit
        return size

    return look


def feed(counter: GigatokenCounter, chars: int, text: str = "one two three " * 100) -> None:
    for _ in range(chars // len(text) + 1):
        assert counter.count(text) == expected(counter.encoding, text)


def test_it_is_built_anew_when_it_has_grown() -> None:
    """Once the process has grown by the limit, the next count builds gigatoken anew, and counts stay right."""
    counter = GigatokenCounter("cl100k_base", exact=nobody, growth=Growth(resident=growing(10), limit=10))
    assert counter.builds == 1
    feed(counter, LEAST_CHARS_BETWEEN - CHARS_BETWEEN_LOOKS)
    assert counter.builds == 1
    feed(counter, 2 * CHARS_BETWEEN_LOOKS)
    assert counter.builds == 2
    feed(counter, LEAST_CHARS_BETWEEN + CHARS_BETWEEN_LOOKS)
    assert counter.builds == 3
    assert counter.fallback_reason is None


def test_loading_tiktoken_is_not_taken_for_growth() -> None:
    """The memory that tiktoken takes when the first text needs it makes no build due."""
    size = 0

    def exact() -> TiktokenCounter:
        nonlocal size
        size = 1000
        return TiktokenCounter("cl100k_base")

    counter = GigatokenCounter("cl100k_base", exact=exact, growth=Growth(resident=lambda: size, limit=50))
    counter.count("\u088f")
    feed(counter, 2 * LEAST_CHARS_BETWEEN)
    assert (size, counter.builds) == (1000, 1)


def test_large_texts_count_towards_the_growth() -> None:
    """Text that comes in large pieces makes a build due as well."""
    counter = GigatokenCounter("cl100k_base", exact=nobody, growth=Growth(resident=growing(10), limit=10))
    assert counter.count("one two " * (LEAST_CHARS_BETWEEN // 4)) == LEAST_CHARS_BETWEEN // 2 + 1
    assert counter.builds == 2


def test_a_build_that_fails_leaves_tiktoken_counting(tmp_path: Path) -> None:
    """When building anew fails, tiktoken counts from then on, a warning says so, and the reason can be read."""
    shutil.copy(vocabulary("cl100k_base").path(), tmp_path)
    counter = GigatokenCounter(
        "cl100k_base",
        exact=lambda: TiktokenCounter("cl100k_base"),
        growth=Growth(resident=growing(10), limit=10),
        directory=tmp_path,
    )
    (tmp_path / "cl100k_base.tiktoken").unlink()
    with capture_logs() as logs:
        feed(counter, 3 * LEAST_CHARS_BETWEEN)
    assert counter.builds == 1
    assert [(log["log_level"], log["encoding"]) for log in logs] == [("warning", "cl100k_base")]
    assert counter.fallback_reason is not None
    assert "cannot be read" in counter.fallback_reason


# Invented words are what gigatoken never forgets; without a bound these take some 90 MB.
INVENTED_WORDS = """
import itertools, string
from sidecar.tokens.fast import GigatokenCounter
from sidecar.tokens.growth import Growth, resident_bytes

counter = GigatokenCounter("cl100k_base", exact=None, growth=Growth(limit=16 << 20))
start = most = resident_bytes()
words = ("".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=5))
for _ in range(3000):
    counter.count(" ".join(itertools.islice(words, 500)))
    most = max(most, resident_bytes() or 0)
print(start is None, counter.builds, 0 if start is None else (most - start) >> 20)
"""


def test_memory_is_bounded_whatever_is_counted() -> None:
    """Nine megabytes of words that never repeat leave the process within a few times the limit of growth."""
    unknown, builds, grown_mib = run_python(INVENTED_WORDS).split()
    assert int(builds) >= 2
    assert unknown == "True" or int(grown_mib) < 60


UNUSED = """
import sys
from sidecar.tokens import load_counter

counter = load_counter("o200k_base", "gigatoken")
assert counter.count("The quick brown fox, it's said; 123 \\u6f22\\u5b57 \\U0001f600") == 14
print("tiktoken" in sys.modules)
"""


def test_tiktoken_is_not_loaded_beside_gigatoken() -> None:
    """Where gigatoken counts, tiktoken and its copy of the vocabulary take no memory."""
    assert run_python(UNUSED) == "False"
