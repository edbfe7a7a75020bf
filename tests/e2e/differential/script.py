r"""Reads the sequences of `corpus/*.seq`: what several clients do, step by step.

A file holds sequences; each begins with `=== its title`. `#` starts a comment line. Then, one per line:

    @since 7.0       needs that version; an older Redis gets it too, and nobody waits for what it cannot say
    @quiet           only MEM commands that leave Redis alone are mixed in: the sequence would see anything else
    @atomic          MEM commands stay out of its transactions, because others wait for what those do
    @users           it has users with fewer rights, so a mixed-in MEM command may be refused as Redis does
    @only a b        only these connections send MEM commands; the comment above says why
    @rules a b       further things that may differ, by their names in `rules`

    a: SET k v       connection `a` sends one request and gets a reply (connections open when they are first named)
    a- BLPOP k 0     the same, but no reply is promised: none is waited for
    a+ MULTI         the request goes out in one write with the next one of `a`
    a| PING "x y"    an inline request, the line as it stands
    a/ SET k v       like `:`, every byte in a segment of its own
    a! "PI" "NG\r\n" bytes as they stand, each string in a segment of its own; they end where a request ends
    a~ "*1\r\n"      the same, but the bytes end inside a request, or Redis understands no more after them
    a? 2             waits until Redis has sent two replies more than those that were promised so far
    a. half-close    `a` sends nothing more; `close`: it is gone; `eof`: waits until Redis closes it; `open`

A line may end with ` -> name`: its reply is an id, which later lines name as `%(name)`, and which may differ.
Words are split as in redis-cli: "…" with \n \r \t \\ \" and \xHH. `%(ab*1000)` stands for ab a thousand times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")

_STEP = re.compile(r"([a-z]\w*)([:\-+|/!~?.]) ?(.*)")
_SAVE = re.compile(r"(.*) -> (\w+)")
_REPEATED = re.compile(r"%\(([^()*]+)\*(\d+)\)")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)|(\S+)')
_ESCAPE = re.compile(rb'\\(x[0-9a-fA-F]{2}|[nrt\\"])')
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b'"': b'"'}

MULTIBULK, INLINE, RAW, OPEN_RAW, DRIPPED = "multibulk", "inline", "raw", "open raw", "dripped"
_FORMS = {":": MULTIBULK, "-": MULTIBULK, "+": MULTIBULK, "|": INLINE, "/": DRIPPED, "!": RAW, "~": OPEN_RAW}


class BadScript(Exception):
    """A line of a sequence says nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. The parts are words, or segments if the form is raw."""

    form: str
    parts: tuple[bytes, ...]

    @property
    def raw(self) -> bool:
        return self.form in (RAW, OPEN_RAW)

    @property
    def words(self) -> list[bytes]:
        """The words in upper case; of an inline request only roughly, quotes are not looked at."""
        parts = self.parts[0].split() if self.form == INLINE else self.parts
        return [part.upper() for part in parts]

    @property
    def logs_in(self) -> bool:
        """Whether it is AUTH, or HELLO with AUTH.

        Some servers lose the error of an AUTH that fails behind other commands of one write; so the bytes in front
        of one have to be the same on both ways, down to where they are cut.
        """
        words = self.words
        return words[:1] == [b"AUTH"] or (words[:1] == [b"HELLO"] and b"AUTH" in words)


@dataclass(frozen=True, slots=True)
class Send:
    """A connection writes `requests` at once; `promised`: so many replies come at least, or the end of the stream."""

    connection: str
    requests: tuple[Request, ...]
    promised: int
    save: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A connection gets `replies` more replies."""

    connection: str
    replies: int


@dataclass(frozen=True, slots=True)
class Act:
    """A connection does what `verb` says: open, half-close, close, eof."""

    connection: str
    verb: str


Step = Send | Wait | Act


@dataclass(slots=True)
class Sequence:
    """One sequence of the corpus."""

    group: str
    title: str
    line: int
    since: tuple[int, ...] = (0,)
    quiet: bool = False
    atomic: bool = False
    users: bool = False
    only: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    joining: str | None = None
    """While it is read: the connection whose last request waits for the next one."""

    @property
    def name(self) -> str:
        return f"{self.group}: {self.title}"


def load(directory: Path = CORPUS) -> list[Sequence]:
    """Return every sequence of the corpus, in the order of files and lines."""
    return [one for path in sorted(directory.glob("*.seq")) for one in parse(path.stem, path.read_text("utf-8"))]


def parse(group: str, text: str) -> Iterator[Sequence]:
    """Return the sequences of one file.

    Raises:
        BadScript: a line that is not in the language.
    """
    sequence: Sequence | None = None
    joined: list[Request] = []  # what `+` holds back
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        try:
            if line.startswith("=== "):
                if sequence is not None:
                    yield sequence
                sequence = Sequence(group, line[4:], number)
            elif sequence is None or not line or line.startswith("#"):
                if sequence is None and line and not line.startswith("#"):
                    raise BadScript("a line before the first title")
            elif line.startswith("@"):
                _declare(sequence, line)
            else:
                _step(sequence, line, joined)
        except (BadScript, ValueError) as problem:
            raise BadScript(f"{group}.seq line {number}: {problem}: {line}") from problem
    if joined:
        raise BadScript(f"{group}.seq: a request waits for the next one of its connection at the end")
    if sequence is not None:
        yield sequence


def _declare(sequence: Sequence, line: str) -> None:
    match line.split():
        case ["@since", version]:
            sequence.since = tuple(int(part) for part in version.split("."))
        case ["@quiet"]:
            sequence.quiet = True
        case ["@atomic"]:
            sequence.atomic = True
        case ["@users"]:
            sequence.users = True
        case ["@only", *names]:
            sequence.only = tuple(names)
        case ["@rules", *names]:
            sequence.rules = tuple(names)
        case _:
            raise BadScript("not a declaration")


def _step(sequence: Sequence, line: str, joined: list[Request]) -> None:
    match = _STEP.fullmatch(line)
    if match is None:
        raise BadScript("not a step")
    connection, sign, rest = match[1], match[2], match[3]
    if sign in "?.":
        if sign == ".":
            sequence.steps.append(Act(connection, _verb(rest)))
        else:
            sequence.steps.append(Wait(connection, int(rest)))
        return
    save = None
    if found := _SAVE.fullmatch(rest):
        rest, save = found[1], found[2]
    if sequence.joining not in (None, connection):
        raise BadScript(f"a request of {sequence.joining} waits for its next one")
    joined.append(Request(_FORMS[sign], (rest.encode(),) if sign == "|" else words(rest)))
    sequence.joining = connection if sign == "+" else None
    if sign == "+":
        return
    promised = len(joined) if sign in ":/|" else 0
    sequence.steps.append(Send(connection, tuple(joined), promised, save))
    joined.clear()


def _verb(word: str) -> str:
    if word not in ("open", "half-close", "close", "eof"):
        raise BadScript("not something a connection does")
    return word


def words(text: str) -> tuple[bytes, ...]:
    """Split a line into its words."""
    found = []
    position = 0
    while text[position:].strip():
        match = _WORD.match(text, position + len(text[position:]) - len(text[position:].lstrip()))
        if match is None or (match[2] or "").startswith('"'):
            raise BadScript("a quote that does not end")
        repeated = _REPEATED.sub(lambda found: found[1] * int(found[2]), match[1] if match[2] is None else match[2])
        word = repeated.encode()
        found.append(_ESCAPE.sub(_unescape, word) if match[2] is None else word)
        position = match.end()
    return tuple(found)


def _unescape(match: re.Match[bytes]) -> bytes:
    what = match[1]
    return bytes([int(what[1:], 16)]) if what.startswith(b"x") else _ESCAPED[what]
