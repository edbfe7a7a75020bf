"""Counting with gigatoken: the same counts in a twentieth of the time.

The counterpart is `sidecar.tokens.exact`, which counts here what gigatoken would count differently or would
hold the interpreter for too long. Whether the two agree is not decided here but in
`sidecar.tokens.selfcheck`, before the first use, and by the tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sized
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import structlog

from sidecar.tokens.cuts import SLICE_CHARS, slices
from sidecar.tokens.growth import CHARS_BETWEEN_LOOKS, Growth
from sidecar.tokens.problems import BrokenVocabulary, FastEngineUnavailable, utf8
from sidecar.tokens.unicode_gap import VERIFIED_GIGATOKEN, in_gap
from sidecar.tokens.vocabulary import VOCABULARY_DIRECTORY, vocabulary

# gigatoken's names of the patterns. They are given explicitly, with no special tokens: what it guesses from
# a file's name includes these as tokens, where here they are plain text.
_PRETOKENIZERS = {"o200k_base": "o200k", "cl100k_base": "cl100k"}

SHORT_CHARS = 16
"""Counts of texts up to here are kept: a role comes with every message, and counting it takes as long as a sentence."""

KEPT_COUNTS = 1_024
"""Counts that are kept, about 100 kB; when full, all are forgotten: simpler than an order of use, and as cheap."""

LONGEST_WORD_CHARS = 2 * SLICE_CHARS
"""A slice of a large text that is longer than this has no end of a word for 64 Ki characters. gigatoken
holds the interpreter for up to 0.4 µs per character of such a text, so tiktoken counts it, which lets go of
it meanwhile."""

_logger = structlog.get_logger(__name__)


class _Counts(Protocol):
    def count(self, text: str) -> int: ...


class GigatokenCounter:
    """Exact token counts of one vocabulary, by gigatoken. Threads may share it; it works under the GIL.

    Args:
        encoding: name of a shipped vocabulary.
        exact: returns the counter for the few texts that gigatoken must not count; called when the first one
            comes.
        growth: decides when gigatoken is built anew; None for the usual bound.
        directory: where the vocabulary files lie.

    Raises:
        UnknownEncoding, BrokenVocabulary: as `Vocabulary.read`.
        FastEngineUnavailable: gigatoken is not installed, of another version, or cannot be built.
    """

    engine = "gigatoken"

    def __init__(
        self,
        encoding: str,
        *,
        exact: Callable[[], _Counts],
        growth: Growth | None = None,
        directory: Path = VOCABULARY_DIRECTORY,
    ) -> None:
        self.encoding = encoding
        self.fallback_reason: str | None = None
        self.builds = 0
        self._exact = exact
        self._exact_counter: _Counts | None = None
        self._directory = directory
        self._building = threading.Lock()
        # None while it is built anew, or when that failed: then `exact` counts.
        self._encode: Callable[[str | bytes], Sized] | None = self._build()
        # Afterwards, so that growth is counted from the size with the vocabulary in it.
        self._growth = Growth() if growth is None else growth
        self._until_look = CHARS_BETWEEN_LOOKS
        self._kept: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Return the tokens of `text`, special tokens taken as plain text.

        About once in hundreds of megabytes of ordinary text this takes 0.3 s longer; `sidecar.tokens.growth`
        says why.

        Raises:
            NotUnicode: the text holds a lone surrogate.
        """
        chars = len(text)
        if chars <= SHORT_CHARS:
            return self._count_short(text)
        if chars > SLICE_CHARS:
            utf8(text)  # so that an error names the position in the whole text
            return sum(map(self._count_slice, slices(text)))
        return self._count_at_once(text)

    def _count_short(self, text: str) -> int:
        count = self._kept.get(text)
        if count is None:
            count = self._count_at_once(text)
            if len(self._kept) >= KEPT_COUNTS:
                self._kept.clear()
            self._kept[text] = count
        return count

    def _count_at_once(self, text: str) -> int:
        # Threads may lose each other's subtractions; the interval need not be exact.
        self._until_look -= len(text)
        if self._until_look < 0:
            self._look()
        encode = self._encode
        if encode is not None and text.isascii():
            return len(encode(text))
        return self._count_unicode(text)

    def _count_unicode(self, text: str) -> int:
        data = utf8(text)
        encode = self._encode
        if encode is None:
            with self._building:  # a build ends sooner than tiktoken would be loaded
                encode = self._encode
        if encode is None or in_gap(text):
            return self._count_exactly(text)
        return len(encode(data))

    def _count_exactly(self, text: str) -> int:
        if self._exact_counter is None:
            self._exact_counter = self._exact()
            # Its 50 MB are not gigatoken's; without this the next look would take them for that.
            self._growth.restart()
        return self._exact_counter.count(text)

    def _count_slice(self, text: str) -> int:
        if len(text) > LONGEST_WORD_CHARS:
            return self._count_exactly(text)
        self._until_look -= len(text)
        if self._until_look < 0:
            self._look()
        return self._count_unicode(text)

    def _look(self) -> None:
        if not self._building.acquire(blocking=False):
            return  # another thread is at it
        try:
            seen = CHARS_BETWEEN_LOOKS - self._until_look
            self._until_look = CHARS_BETWEEN_LOOKS
            if self._encode is not None and self._growth.due(seen):
                self._build_anew()
        finally:
            self._building.release()

    def _build_anew(self) -> None:
        # First let go of the old one: both together would need 70 MB more than either.
        self._encode = None
        try:
            self._encode = self._build()
        except (BrokenVocabulary, FastEngineUnavailable) as exc:
            self.fallback_reason = str(exc)
            _logger.warning("token counting is slower from now on", encoding=self.encoding, reason=str(exc))
        self._growth.restart()

    def _build(self) -> Callable[[str | bytes], Sized]:
        definition = vocabulary(self.encoding)
        definition.read(self._directory)  # gigatoken reads the file itself, and would count by a damaged one
        require_verified(_installed_version())
        try:
            from gigatoken import Tokenizer

            encode: Callable[[str | bytes], Sized] = Tokenizer.from_tiktoken(
                definition.path(self._directory), pretokenizer=_PRETOKENIZERS[self.encoding], special_tokens={}
            ).backend.encode
            # The results are numpy arrays. Without it gigatoken panics instead of raising; and left to the first
            # count, two threads could meet in the import, where gigatoken refuses the second.
            import_module("numpy")
            encode("")
        except Exception as exc:
            raise FastEngineUnavailable("gigatoken", f"building it failed ({type(exc).__name__}: {exc})") from exc
        self.builds += 1
        return encode


def _installed_version() -> str | None:
    try:
        return version("gigatoken")
    except PackageNotFoundError:
        return None


def require_verified(found: str | None) -> None:
    """Refuse every version of gigatoken but those compared with tiktoken code point by code point.

    Args:
        found: the version that is installed; None if none is.

    Raises:
        FastEngineUnavailable: it is another one, or none.
    """
    if found is None:
        raise FastEngineUnavailable("gigatoken", "it is not installed", installed=False)
    if not found.startswith(VERIFIED_GIGATOKEN):
        reason = f"version {found} is not verified to count like tiktoken, {VERIFIED_GIGATOKEN}* is"
        raise FastEngineUnavailable("gigatoken", reason)
