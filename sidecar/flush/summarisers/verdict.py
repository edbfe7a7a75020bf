"""Whether what a summariser returned is a summary. Every summary passes here before anything is removed for it.

Pure. It does not judge how good a summary is: that it leaves facts out cannot be seen without reading both. What it
catches is what would replace a conversation by nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from sidecar.errors import SummaryRejected
from sidecar.memory.stored_message import StoredMessage

REFUSAL_CHARS = 400
"""Longest text that is taken for a refusal. A real summary that happens to begin like one goes on with facts."""

_REFUSAL = re.compile(
    r"""\W*
    (?: (?:i['\u2019]?m|i\ am|we['\u2019]?re|we\ are)\ (?:very\ |so\ |really\ )?(?:sorry|afraid|unable|not\ able)
      | (?:sorry|apologies|unfortunately)\b.{0,40}\b(?:i|we)\ (?:can|could|am|are)
      | (?:i|we)\ (?:apologi[sz]e
                   |(?:can['\u2019]?t|cannot|can\ not|won['\u2019]?t|am\ unable\ to|['\u2019]m\ unable\ to)
                    \ (?:assist|help|comply|fulfil|provide|process|summari[sz]e|do\ that|continue|create|share|discuss))
      | as\ an?\ (?:ai|artificial|large|language)\b )""",
    re.IGNORECASE | re.VERBOSE,
)
_PAGE = re.compile(r"\s*(?:```\w*\s*)?<(?:!doctype\s+html|html|head|body|\?xml)\b", re.IGNORECASE)


def accept(text: str, said: bool, budget: int, count: Callable[[str], int]) -> int:
    """Return the tokens of a summary.

    Args:
        text: what the summariser returned.
        said: whether there was anything to sum up, see `something_said`.
        budget: most tokens.
        count: exact tokens of a text.

    Raises:
        SummaryRejected: it is none.
    """
    if said and not text.strip():
        raise SummaryRejected("empty")
    if is_refusal(text):
        raise SummaryRejected("refusal")
    if is_error(text):
        raise SummaryRejected("error")
    tokens = count(text)
    if tokens > budget:
        raise SummaryRejected("over-budget")
    return tokens


def something_said(earlier: str, messages: Sequence[StoredMessage]) -> bool:
    """Tell whether a summary of these must not be empty: somebody said something in words."""
    return bool(earlier.strip()) or any(message.content.strip() for message in messages)


def is_refusal(text: str) -> bool:
    """Tell whether a text says no more than that its author cannot, or will not."""
    return len(text) <= REFUSAL_CHARS and _REFUSAL.match(text) is not None


def is_error(text: str) -> bool:
    """Tell whether a text is the error page of a proxy, or an error object, in place of an answer."""
    if _PAGE.match(text):
        return True
    if not text.lstrip().startswith("{"):
        return False
    try:
        decoded = msgspec.json.decode(text.strip())
    except msgspec.DecodeError:
        return False
    return isinstance(decoded, dict) and bool(decoded.keys() & {"error", "errors"})
