"""Dialogues: commands and the replies that they must have, as data that can be put to any client, in any language.

Replies are written in the terms of RESP3: a dict is a map, a bool a boolean, a float a double, None is null; `in_resp2`
says what comes instead on RESP2. A `<name>` in a reply stands for whatever comes there first, and for the same
everywhere after it, in commands too. The part of the name before its hyphen says what may come (see `FORMS`); a name
that is nothing but that part stands for something else each time. How a client is asked is not decided here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest

Reply = Any
"""What a client makes of a reply: None, bool, int, float, str, list, dict, or a `Refusal`."""


@dataclass(frozen=True)
class Refusal:
    """An error. In a dialogue: the beginning of its line; from a client: the line."""

    line: str


@dataclass(frozen=True)
class Step:
    """One command, and its reply."""

    words: tuple[str, ...]
    reply: Reply


@dataclass(frozen=True)
class Dialogue:
    """What is said on one connection, and the promise that it shows."""

    promise: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return self.promise.replace(" ", "-")


def dialogue(promise: str, *steps: Step) -> Dialogue:
    """Return a dialogue."""
    return Dialogue(promise, steps)


def step(line: str, *further: str, gives: Reply) -> Step:
    """Return a step: `line` is taken apart at its spaces, the words of `further` are whole."""
    return Step((*line.split(" "), *further), gives)


def from_file(path: Path) -> Dialogue:
    """Read a dialogue from JSON: a list of objects with `send`, and `reply` or `error`."""
    steps = [
        Step(tuple(each["send"]), Refusal(each["error"]) if "error" in each else each["reply"])
        for each in json.loads(path.read_text())
    ]
    return Dialogue(path.stem, tuple(steps))


FORMS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "id": ((str,), r"\d+-\d+"),
    "number": ((int,), r"\d+"),
    "double": ((float, str), r"\d+\.\d+(?:e-\d+)?"),
    "text": ((str,), r".+"),
}
"""What a `<name>` may stand for: a message id, a whole number, a double (text on RESP2), a line; types, and as text."""

_NAME = re.compile(r"<(id|number|double|text|key)((?:-[a-z0-9]+)?)>")


class Rehearsal:
    """A dialogue under way.

    Args:
        protocol: 2 or 3.
        key: what `<key>` stands for.
    """

    def __init__(self, protocol: int, key: str) -> None:
        self._protocol = protocol
        self._known: dict[str, Any] = {"key": key}

    def words(self, step: Step) -> list[str]:
        """Return the words that are to be sent."""
        return [self._filled(word) for word in step.words]

    def check(self, step: Step, got: Reply) -> None:
        """Compare a reply with the one that must come; types count, and so does the order of a map."""
        wanted = step.reply
        if isinstance(wanted, Refusal):
            line = got.line if isinstance(got, Refusal) else repr(got)
            self._match(step, wanted.line, line, whole=False)
            return
        shown = _shown(self._met(wanted if self._protocol == 3 else in_resp2(wanted), got))
        if _shown(got) != shown:
            difference = ndiff(shown.splitlines(), _shown(got).splitlines())
            pytest.fail("\n".join((" ".join(step.words), *difference)))

    def check_text(self, step: Step, wanted: str, got: str) -> None:
        """Compare a reply that a program has printed with what it must print."""
        self._match(step, wanted, got, whole=True)

    def _match(self, step: Step, wanted: str, got: str, *, whole: bool) -> None:
        """Compare texts; unless `whole`, there may be more behind what is wanted."""
        expected = self._filled(wanted)
        pattern, end, new = "", 0, set[str]()
        for found in _NAME.finditer(expected):
            pattern += re.escape(expected[end : found.start()])
            form, name, end = FORMS[found[1]][1], (found[1] + found[2]).replace("-", "_"), found.end()
            if not found[2]:
                pattern += form
            elif name in new:
                pattern += f"(?P={name})"
            else:
                pattern += f"(?P<{name}>{form})"
                new.add(name)
        pattern += re.escape(expected[end:])
        match = re.fullmatch(pattern, got) if whole else re.match(pattern, got)
        if match is None:
            pytest.fail("\n".join((" ".join(step.words), *ndiff(expected.splitlines(), got.splitlines()))))
        self._known |= {name.replace("_", "-"): value for name, value in match.groupdict().items()}

    def _met(self, wanted: Reply, got: Reply) -> Reply:
        """Return `wanted` with everything filled in that `got` may say."""
        if isinstance(wanted, str):
            found = _NAME.fullmatch(wanted)
            if found is None:
                return self._filled(wanted)
            name = found[1] + found[2]
            if name not in self._known and _fits(found[1], got):
                if not found[2]:
                    return got
                self._known[name] = got
            return self._known.get(name, wanted)
        if isinstance(wanted, dict):
            named = got if isinstance(got, dict) else {}
            return {self._filled(name): self._met(value, named.get(name)) for name, value in wanted.items()}
        if isinstance(wanted, list):
            placed = got if isinstance(got, list) else []
            return [self._met(value, placed[at] if at < len(placed) else None) for at, value in enumerate(wanted)]
        return wanted

    def _filled(self, word: str) -> str:
        return _NAME.sub(lambda name: str(self._known.get(name[1] + name[2], name[0])), word)


def _fits(form: str, value: Reply) -> bool:
    types, text = FORMS[form]
    return type(value) in types and re.fullmatch(text, str(value)) is not None


def _shown(reply: Reply) -> str:
    """Return a reply as text in which all types differ, one line for each part."""
    return pformat(reply, sort_dicts=False, width=100)


def in_resp2(reply: Reply) -> Reply:
    """Return what is left of a reply on RESP2: maps are flat arrays, booleans are 0 or 1, doubles are text."""
    if isinstance(reply, bool):
        return int(reply)
    if isinstance(reply, float):
        return repr(reply)
    if isinstance(reply, dict):
        return [in_resp2(each) for pair in reply.items() for each in pair]
    if isinstance(reply, list):
        return [in_resp2(each) for each in reply]
    return reply
