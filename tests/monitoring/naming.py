"""Which metrics a query names, and which ones a process has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"\b(?:memsidecar|process|python)_\w+")
_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("",),
}

LIMIT_S = 10.0


def named(expressions: Iterable[str]) -> set[str]:
    """Return the names of the metrics in queries, as they stand there: with `_total`, `_bucket` and so on."""
    return {name for expression in expressions for name in _NAME.findall(expression)}


def shown(*urls: str) -> set[str]:
    """Return the names of the samples that pages of metrics have or can have, by the kinds of their families."""
    names: set[str] = set()
    for url in urls:
        with urlopen(url, timeout=LIMIT_S) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        names |= {f"{family.name}{suffix}" for family in families for suffix in _SUFFIXES.get(family.type, ())}
    return names
