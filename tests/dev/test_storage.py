"""The data directory: temporary or kept, and one run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.dev.problems import BadOption, DataInUse
from sidecar.dev.storage import data_directory


def test_a_temporary_directory_is_removed() -> None:
    """Without a choice the directory exists during the run and is gone with its content afterwards."""
    with data_directory(None) as directory:
        (directory / "file").write_text("x")
    assert not directory.exists()


def test_a_chosen_directory_is_made_and_kept(tmp_path: Path) -> None:
    """A chosen directory is created with its parents, and its content stays."""
    with data_directory(tmp_path / "a" / "b") as directory:
        (directory / "file").write_text("x")
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """While one run uses a directory a second one is refused; after it the directory is free again."""
    with data_directory(tmp_path), pytest.raises(DataInUse, match=str(tmp_path)), data_directory(tmp_path):
        pass
    with data_directory(tmp_path) as directory:
        assert directory == tmp_path


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A path that is no directory is an error that names the option and the reason."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BadOption, match=r"--data .*/file cannot be used: File exists"),
        data_directory(tmp_path / "file"),
    ):
        pass
