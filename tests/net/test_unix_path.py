"""The file of a Unix socket: its rights, and what is removed and what never."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.net.unix_path import UnixPath


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A socket's path has about a hundred bytes; pytest's directories are longer on some machines.
    monkeypatch.chdir(tmp_path)
    return Path("sidecar.sock")


@pytest.fixture
def generous() -> Iterator[None]:
    """A umask that would let everybody in."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("wanted", [0o700, 0o770, 0o600])
def test_the_mode(path: Path, wanted: int) -> None:
    """The file has its mode before anybody can connect, whatever the umask."""
    unix = UnixPath(path, wanted)
    with unix.socket, socket.socket(socket.AF_UNIX) as client:
        assert mode(path) == wanted
        with pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
    unix.remove()


def test_removing(path: Path) -> None:
    """The file goes with its owner; a second time, or when it is gone, nothing happens."""
    unix = UnixPath(path, 0o700)
    with unix.socket:
        unix.remove()
        assert not path.exists()
        unix.remove()


def test_what_somebody_else_put_there_stays(path: Path) -> None:
    """A file that took the place of ours is not removed with ours."""
    first = UnixPath(path, 0o700)
    path.unlink()
    second = UnixPath(path, 0o700)
    with first.socket, second.socket:
        first.remove()
        assert path.exists()
        second.remove()
        assert not path.exists()


def test_the_file_of_the_dead(path: Path) -> None:
    """A socket on which nobody answers is taken over."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    unix = UnixPath(path, 0o700)
    unix.socket.listen()
    with unix.socket, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    unix.remove()


@pytest.mark.parametrize("waiting", [0, 1])
def test_somebody_answers(path: Path, waiting: int) -> None:
    """A socket of a living process is left to it, even when its queue is full."""
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as client:
        living.bind(str(path))
        living.listen(0)
        for _ in range(waiting):
            client.connect(str(path))
        with pytest.raises(OSError, match=r"sidecar\.sock: another process answers there"):
            UnixPath(path, 0o700)
        assert path.is_socket()


def test_other_files_stay(path: Path, tmp_path: Path) -> None:
    """A file, a directory or a link is never removed."""
    path.write_text("precious")
    with pytest.raises(OSError, match="is no socket; it is left as it is"):
        UnixPath(path, 0o700)
    assert path.read_text() == "precious"
    link, directory = tmp_path / "link", tmp_path / "directory"
    link.symlink_to(path)
    directory.mkdir()
    for other in (link, directory):
        with pytest.raises(OSError, match="is no socket"):
            UnixPath(other, 0o700)
        assert other.exists()


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    """No directory, or a path that is too long: the error names it."""
    with pytest.raises(OSError, match=r"cannot listen on .*absent/a\.sock: No such file"):
        UnixPath(tmp_path / "absent" / "a.sock", 0o700)
    with pytest.raises(OSError, match=r"cannot listen on .*too long"):
        UnixPath(tmp_path / ("a" * 200), 0o700)
