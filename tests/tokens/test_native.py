"""Tests of `sidecar.tokens.native` and `_bpe.c`."""

from __future__ import annotations

import functools
import os
import random
import shutil
import sys
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.tokens.native import NativeCounter
from sidecar.tokens.problems import BrokenVocabulary, NotUnicode, UnknownEncoding
from sidecar.tokens.reference import TiktokenCounter
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding, vocabulary
from tests.tokens.classes import HEADER, header
from tests.tokens.texts import TEXTS, needs_compiled, run_python

pytestmark = needs_compiled

LARGE_CHARS = 32 * 1024
"""A text of so many bytes is counted without the GIL."""

# In each the class of the code point (upper case, lower case, other letter, mark, digit, blank, other) decides where
# the pieces begin.
AROUND = ("a{}'s", "A{}b 1{}2", " {} {}x\n", "{}A", "AB{}", "\n{}\n")
CHUNK = 4096

WORDS = st.text("abcdeszABCDESZ'\u00e9\u0130\u0436\u0416\u6f22\u304b\u0301 ", min_size=60, max_size=300)
"""Texts with pieces that are longer than those which are merged without a heap."""


@functools.cache
def native(encoding: str) -> NativeCounter:
    return NativeCounter(encoding)


def expected(encoding: str, text: str) -> int:
    return TiktokenCounter(encoding).count(text)


def compiled() -> Any:
    return import_module("sidecar.tokens._bpe")


def lines(tokens: list[bytes]) -> bytes:
    """Return the file of a vocabulary with these tokens, by their rank."""
    return b"".join(b"%s %d\n" % (b64encode(token), rank) for rank, token in enumerate(tokens))


BYTES = [bytes((n,)) for n in range(256)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=2000, deadline=None)
@given(text=TEXTS | WORDS)
@example(text="<|endoftext|>")
@example(text="a\u088f's")
def test_it_counts_what_tiktoken_encodes(encoding: str, text: str) -> None:
    """The count of any text is the length of its encoding by tiktoken."""
    assert native(encoding).count(text) == len(load_encoding(encoding).encode(text, disallowed_special=()))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_token_of_the_vocabulary(encoding: str) -> None:
    """The text of each single token has the same count with both engines, also between two letters."""
    tokens, counter = load_encoding(encoding), native(encoding)
    texts = []
    for token in tokens.token_byte_values():
        try:
            texts.append(token.decode())
        except UnicodeDecodeError:
            continue  # part of a character
    assert len(texts) > 90_000
    # Each on its own, so that its piece is no other token's; between letters many are a part of another piece.
    for around in ("{}", "q{}q"):
        wrong = [t for t in texts if counter.count(around.format(t)) != len(tokens.encode_ordinary(around.format(t)))]
        assert wrong == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_code_point(encoding: str) -> None:
    """Each code point gives the same count with both engines, among letters, digits and blanks."""
    counter, exact = native(encoding), TiktokenCounter(encoding)
    points = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    for start in range(0, len(points), CHUNK):
        for around in AROUND:
            texts = [around.replace("{}", chr(point)) for point in points[start : start + CHUNK]]
            if counter.count("\n".join(texts)) != exact.count("\n".join(texts)):
                pytest.fail(f"wrong on {[ascii(text) for text in texts if counter.count(text) != exact.count(text)]}")


def test_the_classes_are_those_of_tiktoken() -> None:
    """The table in C has the classes of the tiktoken that is installed: `python -m tests.tokens.classes` writes it."""
    assert HEADER.read_text(encoding="ascii") == header()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox, it's said, jumps. " * 5000,
        "\u4eca\u65e5\u306f\u6674\u308c\u3002" * 30_000,
        "caf\u00e9 \U0001f469\u200d\U0001f680 \u2014 ok\r\n" * 10_000,
        "x" * (LARGE_CHARS - 1),
        "x" * LARGE_CHARS,
        "ab" * 4 * LARGE_CHARS,
        "A" * LARGE_CHARS + "\u0301" + "B" * LARGE_CHARS,
        "".join(random.Random(1).choices("abcdefgh", k=4 * LARGE_CHARS)),
        "a" * LARGE_CHARS + " " * LARGE_CHARS + "b",
        "\n" + " " * LARGE_CHARS,
        "!" * LARGE_CHARS + "1" * LARGE_CHARS,
        " " * 1_100_000 + "x",
    ],
    ids=[
        "english",
        "japanese",
        "emoji",
        "under the GIL",
        "without the GIL",
        "endless",
        "capitals",
        "random",
        "blanks",
        "blanks at the end",
        "symbols and digits",
        "more blanks than tiktoken's pattern can take",
    ],
)
def test_large_texts(encoding: str, text: str) -> None:
    """A large text, of words or without an end of one, has the count of tiktoken."""
    assert native(encoding).count(text) == expected(encoding, text)


@pytest.mark.parametrize("size", range(55, 75))
def test_words_around_the_length_from_which_a_heap_merges(size: int) -> None:
    """Both ways of merging give the same, whatever the length."""
    for seed in range(20):
        word = "".join(random.Random(seed).choices("aeiounrst", k=size))
        assert native("o200k_base").count(word) == expected("o200k_base", word)


def test_words_that_displace_each_other() -> None:
    """A count that was kept is that of its own word: 30,000 words do not fit into the table, and stay right."""
    letters = random.Random(2)
    words = ["".join(letters.choices("qwxzkjv\u00e9", k=letters.randrange(2, 12))) for _ in range(30_000)]
    counter = NativeCounter("o200k_base")
    right = [expected("o200k_base", word) for word in words]
    assert [counter.count(word) for word in words] == right
    assert [counter.count(word) for word in words] == right


@pytest.mark.parametrize(
    ("text", "position"),
    [("\ud800", 0), ("a\udc00", 1), ("\ude00\ud83d", 0), ("x " * LARGE_CHARS + "\udfff", 2 * LARGE_CHARS)],
)
def test_lone_surrogates_are_refused(text: str, position: int) -> None:
    """A text with half of a surrogate pair is an error that names its position, in large texts too."""
    with pytest.raises(NotUnicode, match=f"at character {position};"):
        native("o200k_base").count(text)


def test_threads_share_a_counter() -> None:
    """Counts are right when many threads count at once, small texts and large ones."""
    texts = [f"thread {n}: caf\u00e9 qzx{n}w {'word ' * n * (1 + 99 * (n % 10 == 0))}" for n in range(200)]
    counter = NativeCounter("cl100k_base")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(counter.count, texts * 5))
    assert counts == [expected("cl100k_base", text) for text in texts] * 5


def test_others_run_while_it_counts_a_large_text() -> None:
    """From 32 KiB on the GIL is free: while one thread counts, another one gets on."""
    counter = native("o200k_base")
    stop = threading.Event()
    turns = 0

    def turn() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            time.sleep(0)  # gives the GIL to whoever waits for it

    def turns_during(text: str) -> int:
        before = turns
        counter.count(text)
        return turns - before

    other = threading.Thread(target=turn)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # so that the GIL changes hands only where it is given
    try:
        other.start()
        assert turns_during("ab" * (LARGE_CHARS // 2 - 1)) == 0
        assert turns_during("ab" * 1_000_000) > 0
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        other.join()


def test_what_it_says_of_itself() -> None:
    """A counter names its vocabulary and engine."""
    counter = native("cl100k_base")
    assert (counter.encoding, counter.engine) == ("cl100k_base", "native")


def test_an_unknown_encoding_is_refused() -> None:
    """A vocabulary that is not shipped is an error."""
    with pytest.raises(UnknownEncoding):
        NativeCounter("gpt2")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """One changed byte is an error, not a wrong count."""
    path = vocabulary("cl100k_base").path(tmp_path)
    shutil.copy(vocabulary("cl100k_base").path(), path)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenVocabulary, match="is damaged"):
        NativeCounter("cl100k_base", directory=tmp_path)


def test_without_its_compiled_part_it_is_not_there() -> None:
    """Where nothing was compiled the engine is not installed, and asking for it says what to do."""
    program = """
import sys
sys.modules["sidecar.tokens._bpe"] = None
from sidecar.tokens.counter import load_counter
from sidecar.tokens.problems import NativeUnavailable
try:
    load_counter("o200k_base", "native")
except NativeUnavailable as problem:
    print(problem.compiled, problem)
print(load_counter("o200k_base").engine)
"""
    said = run_python(program).splitlines()
    assert said[0].startswith("False the token engine native cannot be used: it was not compiled")
    assert "C compiler" in said[0]
    assert said[-1] == "tiktoken"


def test_tiktoken_is_not_loaded_beside_it() -> None:
    """Where our own C counts, tiktoken and its copy of the vocabulary take no memory."""
    program = """
import sys
from sidecar.tokens.counter import load_counter
assert load_counter("o200k_base").count("Are you there?") == 4
print("tiktoken" in sys.modules)
"""
    assert run_python(program) == "False"


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this system does not tell a process's memory")
def test_it_takes_a_fifth_of_tiktokens_memory() -> None:
    """The vocabulary of 200,000 tokens stays below 10 MB, and counting words without end adds nothing."""
    program = """
import random
from pathlib import Path
from sidecar.tokens.native import NativeCounter

def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

begun = anonymous()
counter = NativeCounter("o200k_base")
loaded = anonymous()
letters = random.Random(3)
for _ in range(300):
    counter.count(" ".join(str(letters.getrandbits(64)) + hex(letters.getrandbits(48)) for _ in range(1_000)))
print(loaded - begun, anonymous() - loaded)
"""
    loaded, grown = map(int, run_python(program, environment={"PATH": os.environ["PATH"]}).split())
    assert loaded < 10_000_000
    assert grown < 3_000_000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 tokens have one byte"),
        (lines(BYTES[1:]), "255 tokens have one byte"),
        (lines(BYTES)[:-1], "line 256 is not a token and its rank"),
        (lines(BYTES) + b"\n", "line 257"),
        (lines(BYTES) + b"YQ==", "line 257"),
        (lines(BYTES) + b"YQ== \n", "line 257"),
        (lines(BYTES) + b"YQ== x\n", "line 257"),
        (lines(BYTES) + b"YQ== 99999999999\n", "line 257"),
        (lines(BYTES) + b"Y%== 7\n", "line 257"),
        (lines([*BYTES, b"x" * 256]), "line 257"),
        (lines([*BYTES, *(b"%250d" % n for n in range(17_000))]), "more than 4 MiB"),
    ],
)
def test_what_is_no_vocabulary(content: bytes, problem: str) -> None:
    """A file of another kind is an error that says where, and costs nothing but the error."""
    with pytest.raises(ValueError, match=problem):
        compiled().Vocabulary(content, "o200k_base")


def test_a_vocabulary_of_bytes() -> None:
    """With no longer tokens than bytes, the count is that of the bytes."""
    assert compiled().Vocabulary(lines(BYTES), "cl100k_base").count("na\u00efve \U0001f600") == 11


def test_wrong_arguments() -> None:
    """What is no text, no content or no encoding is an error."""
    module = compiled()
    with pytest.raises(ValueError, match="no pattern for 'gpt2'"):
        module.Vocabulary(lines(BYTES), "gpt2")
    with pytest.raises(TypeError):
        module.Vocabulary("text", "o200k_base")
    with pytest.raises(TypeError, match="no keywords"):
        module.Vocabulary(lines(BYTES), "o200k_base", size=1)
    with pytest.raises(TypeError, match="takes a text"):
        module.Vocabulary(lines(BYTES), "o200k_base").count(b"bytes")
