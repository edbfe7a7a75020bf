"""The form of an export: JSON lines, one record each.

    {"type":"export","version":1,"project":"default"}
    {"type":"memory","key":"chat:42","encoding":"o200k_base","summary":{"text":"…","tokens":40,"messages":12}}
    {"type":"message","id":"1732312345678-0","at":"2024-11-22T21:52:25.678Z","tokens":9,"message":{"role":"user",…}}
    {"type":"end","messages":1}

`message` is in the OpenAI chat format. What a reader cannot do without is little: `key`, `message`, and the `end`,
which tells a whole memory from one that was cut off. `{"type":"void"}` in place of the end says that what came since
the `memory` does not hold: a flush had changed it while it was written, and it follows anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec

from sidecar.transfer.problems import LineProblem

VERSION = 1

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line: twice the 32 MiB that an append may have by default, for what JSON adds; a file of something else than
lines must not fill the memory."""


class ExportLine(msgspec.Struct, tag_field="type", tag="export", forbid_unknown_fields=True, omit_defaults=True):
    """Begins an export."""

    version: int
    project: str = ""


_Count = Annotated[int, msgspec.Meta(ge=0)]


class SummaryPart(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What stands for the messages that flushes took: how many, and their first and last id, or neither."""

    text: Annotated[str, msgspec.Meta(min_length=1)]
    tokens: int = 0
    messages: _Count = 0
    first_id: str = ""
    last_id: str = ""


class MemoryLine(msgspec.Struct, tag_field="type", tag="memory", forbid_unknown_fields=True, omit_defaults=True):
    """Begins a memory. `encoding` is what `tokens` were counted with; an import counts anew."""

    key: str
    encoding: str = ""
    summary: SummaryPart | None = None


class MessageLine(
    msgspec.Struct, tag_field="type", tag="message", forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A message. Without an id it gets one; `at` (the time in the id) and `tokens` are for whoever reads the file."""

    id: str = ""
    at: str = ""
    tokens: int = 0
    pinned: bool = False
    message: dict[str, Any]


class EndLine(msgspec.Struct, tag_field="type", tag="end", forbid_unknown_fields=True):
    """Ends a memory."""

    messages: _Count


class VoidLine(msgspec.Struct, tag_field="type", tag="void", forbid_unknown_fields=True):
    """Ends a memory that does not hold."""


Line = ExportLine | MemoryLine | MessageLine | EndLine | VoidLine

_decode = msgspec.json.Decoder(Line).decode
encode = msgspec.json.Encoder().encode


def read_lines(raw: Iterable[bytes], name: str) -> Iterator[tuple[int, Line]]:
    """Yield the records of an export with their line numbers, from 1; empty lines are passed over.

    Args:
        raw: lines, each at most `MAX_LINE_BYTES` + 1 bytes.
        name: of the file, for error texts.

    Raises:
        LineProblem: a line is no record.
    """
    for number, line in enumerate(raw, 1):
        if len(line) > MAX_LINE_BYTES:
            raise LineProblem(name, number, f"it is longer than {MAX_LINE_BYTES} bytes; is this an export?")
        if not line.strip():
            continue
        try:
            record = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise LineProblem(name, number, f"it is no record of an export: {problem}") from problem
        if isinstance(record, ExportLine) and record.version != VERSION:
            raise LineProblem(name, number, f"its version is {record.version}, and this memsidecar reads {VERSION}")
        yield number, record
