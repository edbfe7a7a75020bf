"""MEMLIST."""

from __future__ import annotations

import re

from sidecar.commands.arguments import Arguments, shown
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import ListRequest
from sidecar.memory.results import ListPage
from sidecar.resp.replies import Value

MAX_COUNT = 10_000
"""Most keys that one call looks at: a step of SCAN, in which Redis serves nobody else."""

MAX_PATTERN_BYTES = 1_024
"""Longest MATCH: keys have at most 321 bytes."""

_CURSOR = re.compile(rb"\d{1,20}")
_OPTIONS = frozenset({b"MATCH", b"COUNT", b"DUE"})


def parse(items: list[bytes], resolve: Resolve) -> ListRequest:
    """Parse `[cursor] [MATCH pattern] [COUNT n] [DUE]`."""
    arguments = Arguments("MEMLIST", items)
    request = ListRequest()
    if arguments and arguments.upcoming() not in _OPTIONS:
        cursor = arguments.next("a cursor")
        if not _CURSOR.fullmatch(cursor):
            raise SyntaxProblem(f"the cursor is 0 at first, then what the last reply gave, not '{shown(cursor)}'")
        request.cursor = cursor.decode()
    while arguments:
        option = arguments.option()
        if option == b"MATCH":
            request.pattern = arguments.next("a pattern after MATCH")
            if len(request.pattern) > MAX_PATTERN_BYTES:
                raise SyntaxProblem(f"MATCH takes at most {MAX_PATTERN_BYTES} bytes")
        elif option == b"COUNT":
            request.count = min(arguments.integer("COUNT", least=1), MAX_COUNT)
        elif option == b"DUE":
            request.due = True
        else:
            raise arguments.unknown(option, "MATCH, COUNT and DUE")
    return request


def render(page: ListPage) -> Value:
    """Return the reply of SCAN: the next cursor, and the keys."""
    return [page.cursor, page.keys]
