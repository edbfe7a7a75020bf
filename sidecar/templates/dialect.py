"""The Go spelling of a template, `{{ .workflow.id | default "x" }}`, in the words of Jinja2.

Only what differs is changed: the dot in front of a name, arguments of filters without parentheses, and texts in
backticks. Texts in quotes and what is outside of `{{ }}` stay as they are.
"""

from __future__ import annotations

import re

# Each pattern takes time in proportion to the text, whatever is unclosed in it: templates are read on the event loop.
_TEXT = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
_PATH = rf"\.?[^\W\d]\w*(?:\.\w+|\[\s*(?:{_TEXT}|\d+)\s*\])*"
_ARGUMENT = re.compile(rf"{_TEXT}|-?\d+(?:\.\d+)?|{_PATH}", re.DOTALL)
_EXPRESSION = re.compile(r"\{\{((?:[^\"'`}]|\}(?!\})|" + _TEXT + r")*)(?:(\}\})|.*)", re.DOTALL)
_GO = re.compile(
    rf"""
      (?P<text>{_TEXT})
    | (?P<filter>\|\s*[^\W\d]\w*) (?P<arguments>(?:\s+(?:{_ARGUMENT.pattern}))+) (?=\s*(?:[|),]|-?\Z))
    | (?P<dot>(?<![\w)\]'"`.])\.(?=[^\W\d]))
    """,
    re.VERBOSE | re.DOTALL,
)


def to_jinja(template: str) -> str:
    """Return a template in Jinja2's spelling; what is none of Go's comes back unchanged."""
    return _EXPRESSION.sub(lambda found: "{{" + _expression(found[1]) + "}}" if found[2] else found[0], template)


def _expression(source: str) -> str:
    return _GO.sub(_word, source)


def _word(found: re.Match[str]) -> str:
    if found["dot"]:
        return ""
    if found["filter"]:
        arguments = [_expression(each) for each in _ARGUMENT.findall(found["arguments"])]
        return f"{found['filter']}({', '.join(arguments)})"
    text = found["text"]
    return "'" + text[1:-1].replace("\\", "\\\\").replace("'", "\\'") + "'" if text.startswith("`") else text
