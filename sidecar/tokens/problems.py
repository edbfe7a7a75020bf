"""What can go wrong with token counting, and the text each error shows.

    MemsidecarError
    ├── UnknownModel       (ValueError)    configuration names a model whose vocabulary is not shipped
    ├── UnknownEncoding    (ValueError)    configuration names a vocabulary that is not shipped
    ├── NotUnicode         (ValueError)    the text holds half of a surrogate pair, so it has no UTF-8
    ├── BrokenVocabulary   (ValueError)    a shipped vocabulary file is missing or damaged
    └── NativeUnavailable  (RuntimeError)  the engine `native` was asked for by name and cannot be used

Most are ValueErrors as well, so that a caller may treat a bad text or name like any other bad value without
knowing this package. The general tree is in `sidecar.errors`.
"""

from __future__ import annotations

from pathlib import Path

from sidecar.errors import MemsidecarError


class UnknownModel(MemsidecarError, ValueError):
    """No shipped vocabulary is known to be the one of this model."""

    def __init__(self, model: str, shipped: tuple[str, ...]) -> None:
        super().__init__(
            f"no vocabulary is known for the model {model!r}; set `encoding:` to one of {', '.join(shipped)}"
        )


class UnknownEncoding(MemsidecarError, ValueError):
    """The name of a vocabulary that is not shipped."""

    def __init__(self, encoding: str, shipped: tuple[str, ...]) -> None:
        super().__init__(f"no vocabulary {encoding!r} is shipped; set `encoding:` to one of {', '.join(shipped)}")


class NotUnicode(MemsidecarError, ValueError):
    """A text with a lone surrogate: Python can hold it, UTF-8 cannot, so it has no tokens."""

    def __init__(self, position: int, code_point: int) -> None:
        super().__init__(
            f"the text is no valid Unicode: lone surrogate U+{code_point:04X} at character {position};"
            " send the whole pair or replace it with U+FFFD"
        )


class BrokenVocabulary(MemsidecarError, ValueError):
    """A vocabulary file that would count wrongly, or cannot be read."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"the vocabulary file {path} {problem}; reinstall memsidecar")


class NativeUnavailable(MemsidecarError, RuntimeError):
    """The engine `native` cannot count exactly here: it was not compiled, or wrongly."""

    def __init__(self, reason: str, *, compiled: bool = True) -> None:
        super().__init__(
            f"the token engine native cannot be used: {reason}; install memsidecar anew where there is a C compiler"
            " with Python's headers, or set MEMSIDECAR_TOKEN_ENGINE to auto or tiktoken"
        )
        self.reason = reason
        self.compiled = compiled
