"""The built-in sets: what each finds, and look-alikes that stay."""

from __future__ import annotations

import pytest

from sidecar.memory.definition import PrivacyPolicy
from sidecar.memory.message import Message
from sidecar.privacy.builtin import BUILTIN_SETS, MAX_PATTERN_BYTES, builtin, compile_pattern
from sidecar.privacy.redaction import Redactor


def redacted(text: str, *sets: str) -> str:
    """Return a text as it is stored where these sets (all of them) are looked for."""
    redactor = Redactor(PrivacyPolicy(redact=sets or BUILTIN_SETS), rebuild=_never)
    return redactor.redact(Message("user", text))[0].content


def _never(fields: dict[str, object]) -> Message:
    raise AssertionError(fields)


TOKEN = "Ab1" * 20
FOUND = [
    ("email", "write to bob@example.com!", "write to [email]!"),
    ("email", "Bob.O'Hara+x_1%y@mail.example.co.uk, please", "[email], please"),
    ("email", "über bob@exämple.com bob@xn--exmple-cua.com", "über bob@exämple.com [email]"),
    ("card", "4111 1111 1111 1111", "[card]"),
    ("card", "card 5500-0055-5555-5559.", "card [card]."),
    ("card", "378282246310005", "[card]"),
    ("card", "row 1 4111 1111 1111 1111 12 4111-1111-1111-1111", "row 1 [card] 12 [card]"),
    ("iban", "IBAN AB12 DE89 3704 0044 0532 0130 00 DANKE SEHR", "IBAN AB12 [iban] DANKE SEHR"),
    ("phone", "+49 170 1234567 2024 11 28 17", "[phone] 2024 11 28 17"),
    ("iban", "DE89 3704 0044 0532 0130 00", "[iban]"),
    ("iban", "to GB82WEST12345698765432 now", "to [iban] now"),
    ("ip", "from 10.0.0.1 to 255.255.255.255", "from [ip] to [ip]"),
    ("ip", "at 2001:db8::1, fe80::1 and ::1", "at [ip], [ip] and [ip]"),
    ("ip", "::ffff:192.168.0.1", "[ip]"),
    ("phone", "+49 170 1234567", "[phone]"),
    ("phone", "+1 (555) 123-4567", "[phone]"),
    ("phone", "call (555) 123-4567 or 555-123-4567", "call [phone] or [phone]"),
    ("phone", "0049 30 123456", "[phone]"),
    ("phone", "(030) 1234 5678", "[phone]"),
    ("phone", "Tel.: 030 12345678", "Tel.: [phone]"),
    ("secrets", "AKIAIOSFODNN7EXAMPLE", "[secrets]"),
    ("secrets", f"ghp_{TOKEN[:36]} and github_pat_{TOKEN[:22]}", "[secrets] and [secrets]"),
    ("secrets", f"sk-proj-{TOKEN[:24]} sk-ant-api03-{TOKEN[:24]}", "[secrets] [secrets]"),
    ("secrets", "xoxb-123456789012-abcdefghij", "[secrets]"),
    ("secrets", f"AIza{TOKEN[:35]}", "[secrets]"),
    ("secrets", "sk_" + f"live_{TOKEN[:24]}", "[secrets]"),
    ("secrets", f"glpat-{TOKEN[:20]} npm_{TOKEN[:36]}", "[secrets] [secrets]"),
    ("secrets", f"SG.{TOKEN[:22]}.{TOKEN[:43]}", "[secrets]"),
    ("secrets", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl", "[secrets]"),
    ("secrets", f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [secrets]"),
    ("secrets", "postgres://user:pass@host/db", "postgres://user:[secrets]@host/db"),
    ("secrets", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "[secrets] x"),
    ("secrets", "-----BEGIN PRIVATE KEY-----\nMIIE and no end", "[secrets]"),
]


@pytest.mark.parametrize(("kind", "text", "stored"), FOUND)
def test_what_is_found(kind: str, text: str, stored: str) -> None:
    """Each set finds its own; with all sets the same, or at least as much, is gone."""
    assert redacted(text, kind) == stored
    assert kind in ("ip", "phone") or redacted(text) == stored


STAYS = [
    "order 2024-11-27 of 12:34:56",
    "1732312345678-0",
    "550e8400-e29b-41d4-a716-446655440000",
    "d41d8cd98f00b204e9800998ecf8427e",
    "version 1.2.3 and 10.2.3",
    "1.2.3.400",
    "4111 1111 1111 1112",  # the checksum is wrong
    "1234567890123456",
    "0000 0000 0000 0000",
    "DE88 3704 0044 0532 0130 00",
    "std::vector and a::b",
    "12:34:56",
    "me@home and @everyone",
    "user@localhost",
    "sk-short and Bearer me",
    "https://example.com/path?x=1",
    "http://host:8080/x@y",
    "it costs 1,234,567.89 in 2024",
    "call me at 5",
    "§ 12 (3) 45",
    "ID 123456789",
]


@pytest.mark.parametrize("text", STAYS)
def test_what_stays(text: str) -> None:
    """What only looks like something stays as it is."""
    assert redacted(text) == text


def test_offsets_are_those_of_the_text() -> None:
    """What stands around, in any script, is untouched."""
    assert redacted("数🙂é bob@example.com 数🙂é 10.0.0.1 ü") == "数🙂é [email] 数🙂é [ip] ü"


def test_every_set_is_compiled_once_and_is_linear() -> None:
    """The patterns are RE2's, which takes linear time whatever the text, and are shared."""
    for name in BUILTIN_SETS:
        assert builtin(name) is builtin(name)
        assert {type(pattern.regex).__module__.partition(".")[0] for pattern in builtin(name)} == {"re2"}
    with pytest.raises(KeyError):
        builtin("names")


@pytest.mark.parametrize("piece", ["a", "@", "1", "1 ", "a@b.", "::", "-----BEGIN ", "eyJa.", "+1 ", "x:y@"])
def test_a_megabyte_of_anything(piece: str) -> None:
    """No text, however it is made, takes longer than a test may take."""
    text = piece * (1_048_576 // len(piece))
    assert len(redacted(text)) <= len(text)


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        ("(", "is no expression of RE2: missing"),
        ("(?=x)", "is no expression of RE2: invalid perl operator"),
        (r"(x)\1", "is no expression of RE2: invalid escape sequence"),
        ("x*", "fits the empty text"),
        ("x" * (MAX_PATTERN_BYTES + 1), "has more than 4096 bytes"),
        ("((x{1,100}){1,100}){1,100}", "is no expression of RE2: "),
    ],
)
def test_patterns_that_cannot_be(regex: str, reason: str) -> None:
    """A pattern that RE2 does not take, or that would be found everywhere, is refused by its name."""
    with pytest.raises(ValueError, match="the pattern 'mine' ") as problem:
        compile_pattern("mine", regex)
    assert reason in str(problem.value)
