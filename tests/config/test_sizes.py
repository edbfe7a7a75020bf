"""Sizes as people write them."""

from __future__ import annotations

import pytest

from sidecar.config.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (None, None),
        (5, 5),
        ("5", 5),
        ("64KiB", 65_536),
        ("64 kib", 65_536),
        ("1.5MiB", 1_572_864),
        ("2KB", 2_000),
        ("1GiB", 2**30),
        ("7b", 7),
    ],
)
def test_sizes(text: object, size: int | None) -> None:
    """Bytes, or a number with a unit; the binary units have an i."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "5 apples", "-1", "KiB", True, "1e3"])
def test_no_sizes(text: object) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(ValueError, match="is no size; write bytes, or a number with a unit, such as 64KiB or 1MiB"):
        parse_size(text)


def test_a_size_that_no_number_holds() -> None:
    """More digits than a float takes are refused as what they are, and break nothing off."""
    with pytest.raises(ValueError, match="must be at most 536870912 bytes"):
        parse_size("9" * 400)
