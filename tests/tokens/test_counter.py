"""Tests of `sidecar.tokens.counter`."""

from __future__ import annotations

from typing import cast, get_args

import pytest
from hypothesis import given, settings
from structlog.testing import capture_logs

from sidecar.memory.ports import TextCounter
from sidecar.tokens.counter import Engine, checked, choose, load_counter
from sidecar.tokens.problems import NativeUnavailable, UnknownEncoding
from sidecar.tokens.reference import TiktokenCounter
from sidecar.tokens.selfcheck import CASES
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.tokens.texts import TEXTS, needs_compiled

ENGINES = [pytest.param(name, marks=needs_compiled) if name == "native" else name for name in get_args(Engine)]


class OffByOne:
    """An engine that is right on every text but one."""

    encoding = "o200k_base"

    def __init__(self, text: str) -> None:
        self._text = text

    def count(self, text: str) -> int:
        return load_counter(self.encoding, "tiktoken").count(text) + (text == self._text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_every_counter_counts_alike(encoding: str, engine: Engine, text: str) -> None:
    """Whichever engine is asked for, the count is that of tiktoken's encoding with special tokens as text."""
    counter: TextCounter = load_counter(encoding, engine)
    assert counter.encoding == encoding
    assert counter.count(text) == len(load_encoding(encoding).encode(text, disallowed_special=()))


@needs_compiled
@pytest.mark.parametrize(("engine", "counts"), [("auto", "native"), ("native", "native"), ("tiktoken", "tiktoken")])
def test_which_engine_counts(engine: Engine, counts: str) -> None:
    """Where our own C was compiled, `auto` takes it; the others take what they say."""
    assert load_counter("o200k_base", engine).engine == counts


@pytest.mark.parametrize("engine", ENGINES)
def test_a_counter_is_loaded_once(engine: Engine) -> None:
    """A second request returns the same counter."""
    assert load_counter("cl100k_base", engine) is load_counter("cl100k_base", engine)


def test_auto_shares_the_engine_it_chooses() -> None:
    """Asking for `auto` and for the engine that it chooses by name loads the vocabulary once."""
    counter = load_counter("o200k_base", "auto")
    assert counter is load_counter("o200k_base", cast(Engine, counter.engine))


def test_an_unknown_encoding_is_refused() -> None:
    """A vocabulary that is not shipped is an error before anything is loaded."""
    with pytest.raises(UnknownEncoding):
        load_counter("gpt2")


def test_a_right_engine_is_taken() -> None:
    """An engine that counts every text of the self-check right is the one that `auto` takes."""
    right = OffByOne("a text that is not in the self-check")
    assert choose("o200k_base", lambda: checked(right)) is right


@pytest.mark.parametrize("case", range(0, len(CASES), 10))
def test_an_engine_with_one_wrong_count_is_not_taken(case: int) -> None:
    """If one count of the self-check differs, tiktoken counts, and a warning says why."""
    text, right, _ = CASES[case]
    reason = f"it counts differently from tiktoken: {right + 1} instead of {right} tokens for {text[:40]!a}"
    with capture_logs() as logs:
        counter = choose("o200k_base", lambda: checked(OffByOne(text)))
    assert isinstance(counter, TiktokenCounter)
    assert counter.count(text) == right
    assert logs == [
        {
            "event": "tokens.engine_unusable",
            "log_level": "warning",
            "encoding": "o200k_base",
            "reason": reason,
        }
    ]


def test_an_engine_that_was_not_compiled_is_no_reason_to_warn() -> None:
    """Without our own C tiktoken counts, and the log tells the reason without a warning."""

    def missing() -> OffByOne:
        raise NativeUnavailable("it was not compiled", compiled=False)

    with capture_logs() as logs:
        counter = choose("o200k_base", missing)
    assert isinstance(counter, TiktokenCounter)
    assert [(log["event"], log["log_level"], log["reason"]) for log in logs] == [
        ("tokens.engine_missing", "info", "it was not compiled")
    ]


def test_an_engine_asked_for_by_name_must_be_right() -> None:
    """Asked for by name, an engine with a wrong count is an error that says what to do."""
    with pytest.raises(NativeUnavailable, match=r"counts differently.*set MEMSIDECAR_TOKEN_ENGINE to auto"):
        checked(OffByOne(CASES[3][0]))
