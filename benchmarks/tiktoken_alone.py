"""tiktoken and its vocabulary in a Python process, as anybody would use them: the measure of what a sidecar at rest may
take. Nothing of memsidecar is in it.

tiktoken would fetch the vocabulary; here it finds the shipped one, the same bytes, in its cache.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path

from sidecar.dev.processes import ChildProcess
from sidecar.tokens.vocabulary import vocabulary

READY_LINE = "counted"

_PROGRAM = (
    "import sys, signal, tiktoken\n"
    "encoding = tiktoken.get_encoding(sys.argv[1])\n"
    "print('counted', len(encoding.encode_ordinary('Is it ready?')), flush=True)\n"
    "signal.pause()\n"
)


class TiktokenProcess(ChildProcess):
    """A process that has loaded a vocabulary, counted one text, and waits for its end."""

    ready_sign = f"it did not print '{READY_LINE}'"

    def __init__(self, encoding: str, *, directory: Path) -> None:
        """`encoding` is the name of a vocabulary; `directory` must exist, and becomes tiktoken's cache."""
        super().__init__("tiktoken", env={"TIKTOKEN_CACHE_DIR": str(directory)})
        self._encoding = encoding
        # tiktoken's name in its cache, see read_file_cached in tiktoken/load.py.
        url = f"https://openaipublic.blob.core.windows.net/encodings/{encoding}.tiktoken"
        shutil.copy(vocabulary(encoding).path(), directory / sha1(url.encode()).hexdigest())

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-c", _PROGRAM, self._encoding]

    def is_ready(self) -> bool:
        return self.has_printed(READY_LINE)
