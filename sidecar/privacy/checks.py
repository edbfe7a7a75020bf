"""What a regular expression cannot tell: whether digits are a card's, letters an IBAN, numbers an address."""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

FEWEST_CARD_DIGITS, CARD_DIGITS = 13, 19
"""Digits of a payment card's number."""

IBAN_CHARACTERS = 34
"""Most characters of an IBAN (ISO 13616)."""

PHONE_DIGITS = 15
"""Most digits of a telephone number (E.164)."""

Find = Callable[[str], Iterator[tuple[int, int]]]
"""Yields where in a candidate that an expression found the thing itself is: ascending, without overlaps."""

_WORD = re.compile("[0-9A-Za-z]+")


def all_of_it(text: str) -> Iterator[tuple[int, int]]:
    """Find the candidate as it is."""
    yield 0, len(text)


def whole(check: Callable[[str], bool]) -> Find:
    """Make a finder of the candidate as a whole, where a check agrees."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        if check(text):
            yield 0, len(text)

    return find


def words_of(check: Callable[[str], bool], *, most: int, anywhere: bool = True) -> Find:
    """Make a finder of the words in a row, the first and longest row first, that a check agrees with.

    An expression cannot tell where a number that is written in groups begins or ends when other digits stand beside
    it ("row 1 4111 1111 1111 1111"); taking the whole row for the candidate would miss it.

    Args:
        check: of words with what stands between them.
        most: characters that such a number has at most, less what stands between them; bounds what a word costs.
        anywhere: whether it may begin at any word, or only where the candidate does.
    """

    def find(text: str) -> Iterator[tuple[int, int]]:
        words = [match.span() for match in _WORD.finditer(text)]
        ends = [end for _, end in words]
        first = 0
        while first < (len(words) if anywhere else 1):
            # What stands before the first word, such as a "+", belongs to it.
            start = words[first][0] if first else 0
            for last in range(bisect_right(ends, start + 2 * most) - 1, first - 1, -1):
                if check(text[start : ends[last]]):
                    yield start, ends[last]
                    first = last
                    break
            first += 1

    return find


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Find the numbers of payment cards among digits in groups: 13 to 19 digits with Luhn's checksum (ISO/IEC 7812).

    The first digit is that of banks and merchants; without it, every tenth time of day in milliseconds would be one.
    What `words_of` says holds here too. Sums up to each digit make a row cost the same however long it is: a message
    of nothing but digits would else keep a thread busy for long.
    """
    starts, ends = [], []  # of the groups, as numbers of digits
    digits: list[int] = []
    for group in text.replace("-", " ").split(" "):
        starts.append(len(digits))
        digits += map(int, group)
        ends.append(len(digits))
    places = [match.span() for match in _WORD.finditer(text)]
    sums = _luhn_sums(digits)
    first = 0
    while first < len(starts):
        start = starts[first]
        if 2 <= digits[start] <= 6:
            for last in range(bisect_right(ends, start + CARD_DIGITS) - 1, first - 1, -1):
                end = ends[last]
                if end - start < FEWEST_CARD_DIGITS:
                    break
                row = sums[(end - 1) % 2]
                if (row[end] - row[start]) % 10 == 0 and len(set(digits[start:end])) > 1:
                    yield places[first][0], places[last][1]
                    first = last
                    break
        first += 1


def _luhn_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Return the sums up to each digit, where those at even places count once and the others twice; and the reverse."""
    sums: tuple[list[int], list[int]] = ([0], [0])
    for place, digit in enumerate(digits):
        twice = sum(divmod(2 * digit, 10))
        sums[place % 2].append(sums[place % 2][-1] + digit)
        sums[1 - place % 2].append(sums[1 - place % 2][-1] + twice)
    return sums


def is_iban(text: str) -> bool:
    """Whether letters and digits are an IBAN: 15 to 34 of them, with the checksum of ISO 7064."""
    if not (text[:2].isalpha() and text[2:4].isdecimal()):
        return False
    compact = text.replace(" ", "").replace("-", "").upper()
    if not 15 <= len(compact) <= IBAN_CHARACTERS or not compact.isascii() or not compact.isalnum():
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
    """Whether text has as many digits as a telephone number: 8 to 15 (E.164). Seven are rather a date or an order."""
    digits = sum(character.isdecimal() for character in text)
    return 8 <= digits <= PHONE_DIGITS
