"""The same bytes as a JSON array and as a list."""

from __future__ import annotations

from typing import Any

from benchmarks.chat import LIST, MEMORY, MESSAGES, cut, set_up
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
