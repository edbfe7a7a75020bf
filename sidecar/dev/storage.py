"""The directory in which the embedded servers keep their data: a temporary one, or the user's."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sidecar.dev.problems import BadOption, DataInUse

LOCK_FILE = "memsidecar-dev.lock"
"""Held while a run uses the directory; the kernel releases it however the run ends."""

TEMPORAL_FILE = "temporal.db"
"""Temporal's history, next to the files that Redis names itself."""


@contextmanager
def data_directory(chosen: Path | None) -> Iterator[Path]:
    """Give the directory for this run: `chosen`, created if need be; for None one that is removed at the end.

    Raises `DataInUse` if another run uses it, `BadOption` if it cannot be used at all.
    """
    if chosen is None:
        # A killed server may still write while its files are removed; that must not hide how the run went.
        with TemporaryDirectory(prefix="memsidecar-dev-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
        return
    directory = chosen.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / LOCK_FILE).open("a")
    except OSError as exc:
        raise BadOption(f"--data {chosen} cannot be used: {exc.strerror}; name one that you can write") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise DataInUse(directory) from exc
        yield directory
