"""What a regular expression cannot tell: whether digits are a card's, letters an IBAN, numbers an address."""

from __future__ import annotations

import ipaddress


def is_card(text: str) -> bool:
    """Whether digits, blanks and hyphens are the number of a payment card: 13 to 19 digits with Luhn's checksum."""
    digits = [int(character) for character in text if character.isdecimal()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Whether letters and digits are an IBAN: 15 to 34 of them, with the checksum of ISO 7064."""
    compact = text.replace(" ", "").replace("-", "").upper()
    if not 15 <= len(compact) <= 34 or not compact.isascii() or not compact.isalnum():
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_ip(text: str) -> bool:
    """Whether text is an IPv4 or IPv6 address; without a digit it is rather a name in code, such as `a::b`."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not address.is_unspecified and any(character.isdecimal() for character in text)


def is_phone(text: str) -> bool:
    """Whether text has as many digits as a telephone number: 8 to 15 (E.164), 7 without a country's."""
    digits = sum(character.isdecimal() for character in text)
    return 8 <= digits <= 15


def anything(text: str) -> bool:
    """Whatever the expression has found."""
    return bool(text)
