"""The shipped vocabularies: which there are, where they lie, and how one becomes a `tiktoken.Encoding`.

The counterpart is tiktoken's own `openai_public` module, whose definitions these are (a test compares
them). Deliberately absent is everything that module does to fetch a file: nothing here opens a connection,
reads or sets an environment variable, or writes a cache.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sidecar.tokens.problems import BrokenVocabulary, UnknownEncoding

if TYPE_CHECKING:
    import tiktoken

VOCABULARY_DIRECTORY = Path(__file__).parent / "vocab"

_load_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What defines an encoding besides its ranks, which are in a file.

    `sha256` is that of the file as OpenAI publishes it. `pattern` splits a text into the pieces that are
    merged on their own. `special_tokens` only complete the definition: counting treats them as plain text.
    """

    name: str
    sha256: str
    pattern: str
    special_tokens: Mapping[str, int]

    def read(self, directory: Path = VOCABULARY_DIRECTORY) -> bytes:
        """Return the ranks file as it was published, one base64 token and its rank per line.

        Raises:
            BrokenVocabulary: the file cannot be read, or one byte of it differs.
        """
        path = self.path(directory)
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise BrokenVocabulary(path, f"cannot be read ({exc.strerror})") from exc
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise BrokenVocabulary(path, f"is damaged: its SHA-256 is {found}, expected {self.sha256}")
        return data

    def path(self, directory: Path = VOCABULARY_DIRECTORY) -> Path:
        """Return where the ranks file lies."""
        return directory / f"{self.name}.tiktoken"


# The patterns are OpenAI's and must not be tidied: the alternatives are tried in this order, and every count
# depends on it.
_CL100K_PATTERN = "|".join(
    (
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    )
)
_O200K_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)

VOCABULARIES: Mapping[str, Vocabulary] = MappingProxyType(
    {
        vocabulary.name: vocabulary
        for vocabulary in (
            Vocabulary(
                name="o200k_base",
                sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
                pattern=_O200K_PATTERN,
                special_tokens=MappingProxyType({"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
            ),
            Vocabulary(
                name="cl100k_base",
                sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
                pattern=_CL100K_PATTERN,
                special_tokens=MappingProxyType(
                    {
                        "<|endoftext|>": 100257,
                        "<|fim_prefix|>": 100258,
                        "<|fim_middle|>": 100259,
                        "<|fim_suffix|>": 100260,
                        "<|endofprompt|>": 100276,
                    }
                ),
            ),
        )
    }
)

ENCODINGS: tuple[str, ...] = tuple(VOCABULARIES)
"""Names of the shipped vocabularies, the default first."""


def vocabulary(encoding: str) -> Vocabulary:
    """Return the definition of a shipped vocabulary.

    Raises:
        UnknownEncoding: none of this name is shipped.
    """
    try:
        return VOCABULARIES[encoding]
    except KeyError:
        raise UnknownEncoding(encoding, ENCODINGS) from None


def load_encoding(encoding: str) -> tiktoken.Encoding:
    """Return tiktoken's encoding of a shipped vocabulary; its first call loads it (about 0.2 s, 50 MB).

    Raises:
        UnknownEncoding: none of this name is shipped.
        BrokenVocabulary: its file is missing or damaged.
    """
    # The cache below would let two threads load the same file side by side, at twice the memory.
    with _load_lock:
        return _load_once(vocabulary(encoding).name)


@functools.cache
def _load_once(encoding: str) -> tiktoken.Encoding:
    return build_encoding(vocabulary(encoding))


def build_encoding(definition: Vocabulary, directory: Path = VOCABULARY_DIRECTORY) -> tiktoken.Encoding:
    """Build tiktoken's encoding from a vocabulary file, without any cache.

    Raises:
        BrokenVocabulary: the file is missing or damaged.
    """
    import tiktoken  # only where it counts: elsewhere these 5 MB and 25 ms are spared

    ranks = {}
    for line in BytesIO(definition.read(directory)):
        token, _, rank = line.partition(b" ")
        ranks[a2b_base64(token)] = int(rank)
    encoding = tiktoken.Encoding(
        name=definition.name,
        pat_str=definition.pattern,
        mergeable_ranks=ranks,
        special_tokens=dict(definition.special_tokens),
    )
    # The encoding has its own copy in native memory and keeps this dict only for pickling itself, which
    # nobody does here; emptying it frees 30 MB.
    ranks.clear()
    return encoding
