"""The same bytes as a JSON array and as a list."""

from __future__ import annotations

from typing import Any

from benchmarks.chat import CIRCLE, LIST, MEMORY, MESSAGES, chat_cases, cut, first_reads, set_up, set_up_circle
from benchmarks.filling import send
from benchmarks.rows import READ_CHAT, READ_FIRST
from benchmarks.stage import Stage


def test_a_json_array_is_cut_as_it_is_written() -> None:
    """Elements keep their bytes, nested brackets and commas in texts among them; an empty array has none."""
    elements = ['{"a": [1, 2]}', '"], ["', "3"]
    assert cut(f"[{', '.join(elements)}]") == elements
    assert cut(f"[{','.join(elements)}]\n") == elements
    assert cut("[]") == []


def test_the_list_has_the_bytes_that_memread_returns() -> None:
    """All of them but the brackets and commas of the array; also when it is set up again."""
    with Stage() as stage:
        set_up(stage)
        set_up(stage)
        array = stage.ask("MEMREAD", MEMORY, "FORMAT", "OPENAI", "PEEK")
        elements: Any = stage.redis.lrange(LIST, 0, -1)
    assert len(elements) == MESSAGES
    assert b"[" + b",".join(elements) + b"]" == array


def test_repeated_and_first_reads_are_on_the_scorecard() -> None:
    """The repeated ones with many clients only; a stage that was not entered is never asked for anything."""
    rows = [one.row for case in chat_cases(Stage()) for one in case.comparisons]
    assert rows == [None, READ_CHAT, READ_FIRST[1], READ_FIRST[50]]


def test_what_stands_for_a_first_read_is_never_answered_from_what_was_kept() -> None:
    """Redis walks each memory each time that its turn comes; the list beside it has the same bytes."""

    def walks() -> int:
        return int(stage.redis.info("commandstats").get("cmdstat_xrange", {"calls": 0})["calls"])

    with Stage() as stage:
        set_up_circle(stage)
        before = walks()
        for _ in range(2):
            send(stage.sidecar.port, first_reads())
        assert walks() - before == 2 * CIRCLE
        words = first_reads()[-1].decode().split("\r\n")[2::2]
        array = stage.ask(*words)
        elements: Any = stage.redis.lrange(f"{LIST}-{CIRCLE - 1}", 0, -1)
    assert b"[" + b",".join(elements) + b"]" == array
