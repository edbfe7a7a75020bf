"""The progress bar: only on a terminal, and right at its end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from sidecar.app import progress
from sidecar.app.progress import Shown, progress_of
from sidecar.transfer.progress import Silent


def test_nothing_is_shown_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    """Into a file or a pipe nothing is written."""
    with progress_of("memories", 3) as shown:
        assert isinstance(shown, Silent)
        shown.memory("chat:1", 2)
        shown.messages(2)
        shown.read(100)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, which is no markup, the memories and the messages are shown."""
    out = io.StringIO()
    # The terminal is what the test cannot have.
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=out, force_terminal=True, width=160))
    with progress_of("memories", 3) as shown:
        shown.memory("chat:[b]1", 500)
        shown.messages(500)
        shown.memory("chat:2", None)
    assert "chat:[b]1 (500)" in out.getvalue() or "chat:2" in out.getvalue()
    assert "500 messages" in out.getvalue()
    assert "1/3" in out.getvalue()


@pytest.mark.parametrize("unit", ["memories", "bytes"])
def test_each_memory_is_counted_once(unit: str) -> None:
    """A memory that is written again is not counted twice, and bytes count where they are the unit."""
    bars = Bars(console=Console(file=io.StringIO()))
    shown = Shown(bars, unit, 100_000)
    for key in ("a", "a", "b", "c"):
        shown.memory(key, None)
        shown.messages(150)
        shown.read(20_000)
    task = bars.tasks[0]
    assert task.completed == (2 if unit == "memories" else 80_000)
    assert task.fields["messages"] == 600
