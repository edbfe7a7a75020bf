"""The file of a Unix socket: made with its mode, taken over from the dead only, and removed again.

The counterpart is `listener`, which accepts on the socket. A file that is not a socket is never touched.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path


class UnixPath:
    """A bound Unix socket, not yet listening.

    Args:
        path: where its file is made; the directory must exist.
        mode: rights on the file, 0o700 for instance. Whoever may write to the file may connect.

    Raises:
        OSError: the path is taken or cannot be made; the text says which.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        _remove_stale(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(str(path))
            made = path.lstat()
            # Between bind and listen nobody can connect, so there is no moment with wider rights than these.
            path.chmod(mode)
        except OSError as problem:
            self.socket.close()
            raise OSError(problem.errno, f"cannot listen on {path}: {problem.strerror or problem}") from problem
        self._identity = (made.st_dev, made.st_ino)

    def remove(self) -> None:
        """Remove the file, unless somebody has put another one in its place. To be called before `socket` is closed."""
        try:
            now = self._path.lstat()
            if (now.st_dev, now.st_ino) == self._identity:
                self._path.unlink()
        except FileNotFoundError:
            pass


def _remove_stale(path: Path) -> None:
    """Remove what a process that was killed left behind."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as problem:
        raise OSError(problem.errno, f"cannot listen on {path}: {problem.strerror}") from problem
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, f"cannot listen on {path}: it exists and is no socket; it is left as it is")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full queue says EAGAIN, and that somebody is there
        outcome = probe.connect_ex(str(path))
    if outcome == errno.ECONNREFUSED:
        path.unlink()
    elif outcome in (0, errno.EAGAIN):
        raise OSError(errno.EADDRINUSE, f"cannot listen on {path}: another process answers there")
    elif outcome != errno.ENOENT:
        raise OSError(outcome, f"cannot listen on {path}, which exists: {os.strerror(outcome)}")
