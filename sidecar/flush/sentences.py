"""Cuts messages, and an earlier summary, into sentences that a summary can quote.

The counterpart is `sidecar.flush.extractive`, which chooses among them. Plain rules, no language model and no
dictionary: they work on prose, on text without any sentence mark, on scripts without spaces, on code and on
JSON. All text is data; nothing in it is obeyed, and its control characters and line breaks never get through,
so that no message can forge a line of the summary.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from sidecar.flush.cues import ABBREVIATIONS, SENTENCE_END
from sidecar.memory.message import ROLES
from sidecar.memory.stored_message import StoredMessage

MAX_SENTENCE_CHARS = 280
"""A longer sentence is cut, at a space where there is one: in a summary it would crowd out all others."""

MAX_FRAGMENT_BYTES = 12
"""What is not longer than this is no sentence of its own: without the one before, nobody can understand it.
Bytes of UTF-8, because four Chinese characters say as much as twelve Latin letters."""

MAX_DATA_CHARS = 200
"""What is kept of a JSON value, a code block or a line of a tool's output: enough for its first facts."""

MAX_VALUE_CHARS = 60
"""What is kept of one string inside JSON, so that several fields fit into `MAX_DATA_CHARS`."""

MAX_JSON_CHARS = 65_536
"""Longer JSON is not parsed, only cut off: its beginning is all that a summary could hold."""

MAX_JSON_DEPTH = 6
"""Levels of JSON that are looked into. Deeper ones hold detail, and recursion must have an end."""

MAX_EARLIER_CHARS = 400_000
"""Of an earlier summary (about 100,000 tokens): far above any budget that makes sense, but bounded."""

MAX_NAME_CHARS = 32
"""Of the name of a speaker, which is repeated in every line."""

MAX_CUT_BACK_CHARS = 15
"""How far back a cut looks for a space: most words are not longer."""

PROSE, DATA, CODE = 1.0, 0.6, 0.4
"""Weights of what people say, of what machines print, and of code and tool calls, whose outcome follows anyway."""

# Control characters, and lone surrogates, which come from JSON escapes and cannot be written as UTF-8.
_CLEAN: dict[int, str | None] = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)])
_CLEAN |= {0x09: " "} | dict.fromkeys([0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029], "\n")

_KIND = re.compile("^input_|_url$")  # input_audio, image_url
_JSON_START = re.compile(r"""\s*(?:\{\s*["}]|\[\s*[\[{"])""")
_CALLS = "calls "
_FENCE = ("```", "~~~")
_MARKUP = re.compile(r"(?:#{1,6} |[-*+•>] |\d{1,3}[.)] )+")
_SPOKEN = re.compile(rf"((?:{'|'.join(sorted(ROLES))})(?: [\w.@-]{{1,{MAX_NAME_CHARS}}})?): (.+)")
_JOINER = "\u200d"
_MODIFIERS = frozenset([_JOINER, "\ufe0e", "\ufe0f", *map(chr, range(0x1F3FB, 0x1F400))])  # style, skin tone
_NOT_A_NAME = re.compile(r"[^\w.@-]+")


class Piece(NamedTuple):
    """A sentence, or what is kept or dropped like one. `weight` is one of `PROSE`, `DATA`, `CODE`."""

    text: str
    weight: float


class Turn(NamedTuple):
    """What one speaker said at one time. `speaker` is a role, or role and name; "" where it is not known."""

    speaker: str
    pieces: list[Piece]
    earlier: bool


def read_summary(earlier: str) -> list[Turn]:
    """Cut an earlier summary into turns: one per line, whoever wrote it. Headings lose their marks."""
    turns = []
    for line in earlier[:MAX_EARLIER_CHARS].translate(_CLEAN).split("\n"):
        spoken = _SPOKEN.fullmatch(" ".join(line.split()))
        speaker, said = spoken.groups() if spoken else ("", line)
        usual = DATA if speaker.startswith("tool") else PROSE
        pieces = [Piece(text, CODE if text.startswith(_CALLS) else usual) for text in _prose([said])]
        turns.append(Turn(speaker, pieces, earlier=True))
    return [turn for turn in turns if turn.pieces]


def read_message(message: StoredMessage, max_chars: int, max_pieces: int) -> Turn:
    """Cut a message into pieces.

    Args:
        message: as it is stored.
        max_chars: how much of each text is looked at: three quarters from its beginning, the rest
            from its end.
        max_pieces: most pieces, shared out in the same way.
    """
    fields = _loads(message.fields) if message.fields else None
    if not isinstance(fields, dict):
        fields = {}
    pieces = []
    for text in _texts(message.content, fields):
        pieces += _ends(_pieces(text, max_chars, data=message.role == "tool"), max_pieces)
    pieces += islice(_calls(fields.get("tool_calls")), max_pieces)
    name = fields.get("name")
    speaker = message.role
    if isinstance(name, str) and (name := _NOT_A_NAME.sub("_", name)[:MAX_NAME_CHARS]):
        speaker = f"{speaker} {name}"
    return Turn(speaker, pieces, earlier=False)


def clip(text: str, chars: int) -> str:
    """Return the beginning of `text` in at most `chars` characters, with `…` if something is missing.

    No letter is separated from its accents, no emoji from its modifiers; a space nearby is preferred.
    """
    if len(text) <= chars:
        return text
    end = chars - 1
    while end > 0 and (text[end - 1] == _JOINER or _modifies(text[end])):
        end -= 1
    end = end or chars - 1  # nothing but modifiers: there is no good place
    space = text.rfind(" ", max(end // 2, end - MAX_CUT_BACK_CHARS), end + 1)
    return f"{text[: space if space > 0 else end].rstrip()}…"


def _modifies(char: str) -> bool:
    return char in _MODIFIERS or unicodedata.combining(char) > 0


def _texts(content: str, fields: dict[str, Any]) -> Iterator[str]:
    if content:
        yield content
    parts = fields.get("content")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            text = part.get("text")
            yield text if isinstance(text, str) else f"[{_KIND.sub('', str(part.get('type')))}]"
    refusal = fields.get("refusal")
    if isinstance(refusal, str):
        yield refusal


def _calls(calls: object) -> Iterator[Piece]:
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = _flat(_loads(str(function.get("arguments", "")))) or ""
            text = f"{_CALLS}{function.get('name')}({arguments})".translate(_CLEAN)
            yield Piece(clip(" ".join(text.split()), MAX_DATA_CHARS), CODE)


def _pieces(text: str, max_chars: int, *, data: bool) -> list[Piece]:
    if text[:64].lstrip().startswith(("{", "[")) and len(text) <= MAX_JSON_CHARS:
        flat = _flat(_loads(text))
        if flat:
            return [Piece(flat, DATA)]
    data = data or _JSON_START.match(text) is not None  # cut off, or longer than we parse
    if len(text) > max_chars:
        text = f"{text[: max_chars * 3 // 4]}\n{text[-(max_chars // 4) :]}"
    lines = text.translate(_CLEAN).split("\n")
    if data:
        return [Piece(clip(" ".join(line.split()), MAX_DATA_CHARS), DATA) for line in lines if line.strip()]
    pieces: list[Piece] = []
    prose: list[str] = []
    code: list[str] | None = None
    for line in lines:
        if line.lstrip().startswith(_FENCE):
            pieces += (Piece(sentence, PROSE) for sentence in _prose(prose))
            prose = []
            pieces += _code(code or ())
            code = [] if code is None else None
        else:
            (prose if code is None else code).append(line)
    return [*pieces, *(Piece(sentence, PROSE) for sentence in _prose(prose)), *_code(code or ())]


def _code(lines: list[str] | tuple[()]) -> list[Piece]:
    text = " ".join(" ".join(lines).split())
    return [Piece(clip(text, MAX_DATA_CHARS), CODE)] if text else []


def _prose(lines: list[str]) -> Iterator[str]:
    """Yield the sentences of some lines. A line that goes on in small letters belongs to the one before."""
    paragraph = ""
    for line in lines:
        bare = " ".join(line.split())
        text = _MARKUP.sub("", bare, count=1) if _MARKUP.match(bare) else bare
        if paragraph and text is bare and text[:1].islower() and paragraph[-1] not in ".!?…:;":
            paragraph = f"{paragraph} {text}"
            continue
        yield from _sentences(paragraph)
        paragraph = text
    yield from _sentences(paragraph)


def _sentences(paragraph: str) -> Iterator[str]:
    """Yield the sentences of a paragraph. A fragment ("Decided.") belongs to the sentence before it."""
    start = end = 0
    boundaries = [found.end() for found in SENTENCE_END.finditer(paragraph) if not _is_abbreviated(paragraph, found)]
    for boundary in (*boundaries, len(paragraph)):
        if start < end and len(paragraph[end:boundary].strip().encode()) > MAX_FRAGMENT_BYTES:
            yield from _short(paragraph[start:end].strip())
            start = end
        end = boundary
    yield from _short(paragraph[start:].strip())


def _is_abbreviated(paragraph: str, mark: re.Match[str]) -> bool:
    """Tell whether a full stop belongs to an abbreviation or an initial."""
    if not mark[0].startswith("."):
        return False
    word = paragraph[max(0, mark.start() - 24) : mark.start()].rsplit(" ", 1)[-1].lstrip("(\"'")
    return word.casefold() in ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


def _short(sentence: str) -> Iterator[str]:
    """Yield a sentence, cut into parts if it is too long."""
    while len(sentence) > MAX_SENTENCE_CHARS:
        at = sentence.rfind(" ", MAX_SENTENCE_CHARS // 2, MAX_SENTENCE_CHARS)
        at = at if at > 0 else MAX_SENTENCE_CHARS
        yield sentence[:at].rstrip()
        sentence = sentence[at:].lstrip()
    # Marks alone ("...", "---") say nothing.
    if any(map(str.isalnum, sentence)) or (sentence and not sentence.isascii()):
        yield sentence.removesuffix(";")


def _ends(pieces: list[Piece], most: int) -> list[Piece]:
    if len(pieces) <= most:
        return pieces
    tail = most // 4
    return [*pieces[: most - tail], *pieces[len(pieces) - tail :]]


def _loads(text: str) -> object:
    """Parse JSON; what is none, or is nested too deeply, is returned as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _flat(value: object) -> str:
    """Write JSON as `key: value, key: value`, its first facts only; "" if it has none."""
    if not isinstance(value, (dict, list)):
        return ""
    parts: list[str] = []
    room = MAX_DATA_CHARS
    for part in _scalars(value, "", MAX_JSON_DEPTH):
        parts.append(part)
        room -= len(part) + 2
        if room < 0:
            break
    return clip(" ".join(", ".join(parts).translate(_CLEAN).split()), MAX_DATA_CHARS)


def _scalars(value: object, key: str, depth: int) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items() if depth else ():
            yield from _scalars(inner, str(name), depth - 1)
    elif isinstance(value, list):
        for inner in value if depth else ():
            yield from _scalars(inner, key, depth - 1)
    elif value is not None and value != "":
        text = clip(value if isinstance(value, str) else json.dumps(value), MAX_VALUE_CHARS)
        yield f"{key}: {text}" if key else text
