"""Tests of `sidecar.tokens.growth`."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.tokens.growth import (
    CHARS_WITHOUT_LOOKING,
    GROWTH_LIMIT_BYTES,
    LEAST_CHARS_BETWEEN,
    Growth,
    resident_bytes,
)

MUCH_TEXT = LEAST_CHARS_BETWEEN


def sizes(*values: int | None) -> Callable[[], int | None]:
    """A process whose size is one value after the other; the first is that at the build."""
    return iter(values).__next__


def test_growth_below_the_limit_is_let_be() -> None:
    """However much text comes, nothing is due while the process has grown by less than the limit."""
    growth = Growth(resident=sizes(100, 149, 149), limit=50)
    assert not growth.due(MUCH_TEXT)
    assert not growth.due(100 * MUCH_TEXT)


def test_growth_to_the_limit_is_due() -> None:
    """A build is due as soon as the process has grown by the limit."""
    growth = Growth(resident=sizes(100, 120, 150), limit=50)
    assert not growth.due(MUCH_TEXT)
    assert growth.due(1)


def test_growth_with_little_text_is_somebody_elses() -> None:
    """A process that grows while little text is counted has grown for another reason: nothing is due."""
    growth = Growth(resident=sizes(100, 10_000, 10_000), limit=50)
    assert not growth.due(MUCH_TEXT - 1)
    assert growth.due(1)


def test_growth_is_counted_from_the_smallest_size() -> None:
    """When others release memory after the build, that does not hide what grows afterwards."""
    growth = Growth(resident=sizes(1000, 400, 460), limit=50)
    assert not growth.due(MUCH_TEXT)
    assert growth.due(1)


def test_growth_starts_again_with_each_build() -> None:
    """After a build both the size and the text are counted anew."""
    growth = Growth(resident=sizes(100, 150, 150, 200, 200), limit=50)
    assert growth.due(MUCH_TEXT)
    growth.restart()
    assert not growth.due(MUCH_TEXT - 1)
    assert growth.due(1)


def test_without_a_size_the_text_decides() -> None:
    """Where the system does not tell the size, a build is due after a fixed amount of text."""
    growth = Growth(resident=sizes(None, None, None))
    assert not growth.due(CHARS_WITHOUT_LOOKING - 1)
    assert growth.due(1)


def test_the_usual_limit() -> None:
    """Without a limit of its own the bound is the documented one."""
    growth = Growth(resident=sizes(0, GROWTH_LIMIT_BYTES - 1, GROWTH_LIMIT_BYTES))
    assert not growth.due(MUCH_TEXT)
    assert growth.due(1)


def test_the_size_of_this_process_is_plausible() -> None:
    """The size of a running interpreter is some megabytes, where the system tells it."""
    size = resident_bytes()
    assert size is None or 5_000_000 < size < 50_000_000_000
