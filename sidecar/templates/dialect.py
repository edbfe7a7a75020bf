"""The Go spelling of a template, `{{ .workflow.id | default "x" }}`, in the words of Jinja2.

Only what differs is changed: the dot in front of a name, and arguments of filters without parentheses. Text in quotes
and text outside of `{{ }}` stays as it is.
"""

from __future__ import annotations

import re

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<path>\.?[A-Za-z_]\w*(?:\.\w+)*)
      | (?P<pipe>\|)
      | (?P<other>\S)
    )""",
    re.VERBOSE,
)


def to_jinja(template: str) -> str:
    """Return a template in Jinja2's spelling; what is none of Go's comes back unchanged."""
    return _EXPRESSION.sub(lambda found: "{{ " + _expression(found[1]) + " }}", template)


def _expression(source: str) -> str:
    body = source.strip().removeprefix("-").removesuffix("-").strip()
    found = list(_TOKEN.finditer(body))
    if any(token.lastgroup == "other" for token in found):  # brackets, parentheses: Jinja2's own, but for the dots
        return _TOKEN.sub(lambda token: _undotted(token, body), body)
    tokens = [(token.lastgroup or "", token[token.lastgroup or 0]) for token in found]
    words: list[str] = []
    position = 0
    while position < len(tokens):
        kind, text = tokens[position]
        position += 1
        words.append(_word(kind, text))
        is_filter = len(words) > 1 and words[-2] == "|" and kind == "path"
        arguments = []
        while is_filter and position < len(tokens) and tokens[position][0] in ("text", "number", "path"):
            arguments.append(_word(*tokens[position]))
            position += 1
        if arguments:
            words[-1] += f"({', '.join(arguments)})"
    return " ".join(words)


def _undotted(token: re.Match[str], body: str) -> str:
    """Return a token without the dot in front of a name, unless that stands behind `]` or `)`."""
    start = token.start(token.lastgroup or 0)
    if token.lastgroup == "path" and body[start] == "." and body[start - 1 : start] not in ("]", ")"):
        return token[0].replace(".", "", 1)
    return token[0]


def _word(kind: str, text: str) -> str:
    if kind == "path":
        return text.removeprefix(".")
    if kind == "text" and text.startswith("`"):
        return "'" + text[1:-1].replace("\\", "\\\\").replace("'", "\\'") + "'"
    return text
