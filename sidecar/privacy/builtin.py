"""The built-in sets of patterns, and how a pattern of a user's own is compiled.

An expression finds candidates in linear time (RE2), `checks` finds the thing itself in them. A false alarm costs a word
of a talk, a miss a secret: so secrets of vendors are found by their own prefixes only, and telephone numbers only
where they are written as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import re2

from sidecar.privacy import checks
from sidecar.privacy.checks import Find

MAX_PATTERN_BYTES = 4_096
"""Longest expression of a user's own; one of 4 kB is a list of words that belongs into several."""

MAX_PROGRAM_BYTES = 8 * 1024 * 1024
"""Memory that RE2 may use for one expression: its own default. Repetitions of repetitions are refused by it."""


class Pattern(NamedTuple):
    """What is looked for.

    Args:
        kind: the name of its set.
        regex: compiled; where it has a group, that is what is taken out.
        find: tells where in a candidate it is, if anywhere.
    """

    kind: str
    regex: Any
    find: Find = checks.all_of_it


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = rf"(?i)\b[a-z0-9](?:[a-z0-9._%+'-]{{0,62}}[a-z0-9_+-])?@(?:{_LABEL}\.){{1,8}}[a-z]{{2,24}}\b"

# Without an upper bound, these two: other digits or capitals may stand beside the number (see `checks.words_of`).
_CARD = r"\b\d(?:[ -]?\d){12,}\b"

_IBAN = r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,}\b"

_IPV4 = r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"
_IPV6 = r"(?i)(?:^|[^0-9a-z:.])((?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?)"

_PHONES = (
    r"\+\d{1,3}(?:[ ./-]?(?:\(0?\d{1,4}\)|\d{1,4})){2,6}\b",  # with the country's number
    r"(?:^|[^\d ] ?)(00[1-9]\d{0,2}(?:[ ./-]\d{2,8}){1,5})\b",  # not behind other digits: part of a longer number
    r"(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b",  # North America
    r"\(0\d{1,4}\) ?\d{2,4}(?:[ /-]?\d{2,4}){1,3}\b",  # an area's number in parentheses
    r"(?i)\b(?:tel|telefon|phone|mobile|cell|call me at|fax)\b[ .:]{1,3}(\(?\d(?:[ ()./-]{0,2}\d){6,14})\b",
)

_TOKENS = (
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",  # AWS access key id
    r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,}\b",  # GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{22,}\b",
    r"\bglpat-[A-Za-z0-9_-]{20,64}\b",  # GitLab
    r"\bsk-ant-[A-Za-z0-9_-]{20,}\b",  # Anthropic
    r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}\b",  # OpenAI
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}\b",  # Slack
    r"https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,100}",
    r"\bAIza[A-Za-z0-9_-]{35}\b",  # Google
    r"\bya29\.[A-Za-z0-9_-]{20,}\b",
    r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}\b",  # Stripe
    r"\bwhsec_[A-Za-z0-9+/=]{20,100}",
    r"\bnpm_[A-Za-z0-9]{36}\b",
    r"\bpypi-[A-Za-z0-9_-]{50,}\b",
    r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}\b",  # SendGrid
    r"\bSK[0-9a-f]{32}\b",  # Twilio
    r"\bhf_[A-Za-z0-9]{30,40}\b",  # Hugging Face
    r"\bdop_v1_[0-9a-f]{64}\b",  # DigitalOcean
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # JWT
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?",
)

_NAMED_SECRETS = (
    r"(?i)aws.{0,20}?(?:secret|sk).{0,20}?['\"=: ]([a-z0-9/+]{40})\b",
    r"(?i)\bbearer +([a-z0-9._~+/=-]{20,})",
    r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,256}:([^\s/@]{1,256})@",  # a password in a URL
)

_SECRETS = ("|".join(f"(?:{regex})" for regex in _TOKENS), *_NAMED_SECRETS)
"""The first is one expression of all that need no group: one pass over the text instead of twenty."""

_PHONE = checks.words_of(checks.is_phone, most=checks.PHONE_DIGITS, anywhere=False)

_SOURCES: Mapping[str, tuple[tuple[str, Find], ...]] = MappingProxyType(
    {
        "secrets": tuple((regex, checks.all_of_it) for regex in _SECRETS),
        "email": ((_EMAIL, checks.all_of_it),),
        "iban": ((_IBAN, checks.words_of(checks.is_iban, most=checks.IBAN_CHARACTERS)),),
        "card": ((_CARD, checks.cards),),
        "ip": ((_IPV4, checks.whole(checks.is_ip)), (_IPV6, checks.whole(checks.is_ip))),
        "phone": tuple((regex, _PHONE) for regex in _PHONES),
    }
)

BUILTIN_SETS = tuple(sorted(_SOURCES))
"""Names of the built-in sets."""


@cache
def builtin(name: str) -> tuple[Pattern, ...]:
    """Return the patterns of a built-in set, compiled once.

    Raises:
        KeyError: there is none of this name.
    """
    return tuple(Pattern(name, re2.compile(regex, _options()), find) for regex, find in _SOURCES[name])


def compile_pattern(name: str, regex: str) -> Pattern:
    """Return a pattern of a user's own.

    Raises:
        ValueError: it is none of RE2's expressions, is too large, or fits the empty text.
    """
    if len(regex.encode()) > MAX_PATTERN_BYTES:
        raise ValueError(f"the pattern '{name}' has more than {MAX_PATTERN_BYTES} bytes; write several")
    try:
        compiled = re2.compile(regex, _options())
    except re2.error as problem:
        reason = problem.args[0].decode(errors="replace") if isinstance(problem.args[0], bytes) else problem
        raise ValueError(f"the pattern '{name}' is no expression of RE2: {reason}") from None
    if compiled.search("") is not None:
        raise ValueError(f"the pattern '{name}' fits the empty text, and so would be found everywhere")
    return Pattern(name, compiled)


def _options() -> Any:
    options = re2.Options()
    options.max_mem = MAX_PROGRAM_BYTES
    options.log_errors = False
    return options
