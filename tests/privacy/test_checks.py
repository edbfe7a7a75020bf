"""Checksums and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.privacy.checks import cards, is_iban, is_ip, is_phone


@given(st.text("0123456789", min_size=12, max_size=18).filter(lambda digits: len(set(digits)) > 1))
def test_luhn(digits: str) -> None:
    """Of ten numbers of a bank or merchant that differ in the last digit alone, one is a card's."""
    numbers = [digits + last for last in "0123456789"]
    found = [number for number in numbers if list(cards(number)) == [(0, len(number))]]
    assert len(found) == (digits[0] in "23456")


@given(st.lists(st.sampled_from(["1", "41", "4111", "4111 1111 1111 1111", "3782-822463-10005", "0000"]), min_size=1))
def test_cards_in_a_row(groups: list[str]) -> None:
    """Whatever digits stand around it, no card is overlooked, and what is found are cards of whole groups."""
    text = " ".join(groups)
    rest = list(text)
    for start, end in cards(text):
        assert list(cards(text[start:end])) == [(0, end - start)]
        assert (text[start - 1] if start else " ") in " -"
        rest[start:end] = "x" * (end - start)
    assert "4111 1111 1111 1111" not in "".join(rest)
    assert "3782-822463-10005" not in "".join(rest)


@given(st.integers(0, 10**18 - 1))
def test_iban(account: int) -> None:
    """Of the check digits 02 to 98, one makes an IBAN."""
    numbers = [f"DE{check:02}{account:018}" for check in range(2, 99)]
    assert sum(map(is_iban, numbers)) == 1


@pytest.mark.parametrize(
    "text", ["", "DE", "DE89", "DE89 3704 0044 0532 0130 00 0000 0000 0000 00", "ÄÖ89370400440532013000"]
)
def test_no_iban(text: str) -> None:
    """What is too short, too long or of other letters is none."""
    assert not is_iban(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", True),
        ("::1", True),
        ("fe80::1", True),
        ("::", False),
        ("0.0.0.0", False),
        ("a::b", False),
        ("1.2.3", False),
    ],
)
def test_ip(text: str, address: bool) -> None:
    """An address is one to `ipaddress`; the unspecified ones, and names in code, are none."""
    assert is_ip(text) is address


@pytest.mark.parametrize(("text", "phone"), [("+49 1234567", True), ("1234567", False), ("1" * 16, False)])
def test_phone(text: str, phone: bool) -> None:
    """A telephone number has 8 to 15 digits."""
    assert is_phone(text) is phone
