"""What happens when the machine lacks something."""

from __future__ import annotations

import pytest

from tests.support.requirements import missing, require_program


def test_a_program_that_is_there() -> None:
    """A program on PATH is returned with its absolute path."""
    assert require_program("sh").is_absolute()


def test_in_ci_a_missing_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI nothing is skipped: the test fails and says what to install."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-program, which is not on PATH"):
        require_program("no-such-program")


def test_elsewhere_it_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine the test is skipped, with the same text as the visible reason."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install a frobnicator"):
        missing("install a frobnicator")
