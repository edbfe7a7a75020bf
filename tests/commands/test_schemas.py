"""The check against published types finds what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam

from tests.commands.schemas import Misfit, check

GOOD: list[tuple[Any, Any]] = [
    ({"role": "user", "content": "x"}, ChatCompletionMessageParam),
    ({"role": "user", "content": [{"type": "text", "text": "x"}]}, ChatCompletionMessageParam),
    ({"role": "user", "content": [{"type": "text", "text": "x"}]}, MessageParam),
]
BAD: list[tuple[Any, Any]] = [
    ({"role": "user"}, ChatCompletionMessageParam),
    ({"role": "user", "content": None}, ChatCompletionMessageParam),
    ({"role": "user", "content": "x", "metadata": {}}, ChatCompletionMessageParam),
    ({"role": "tool", "content": "x"}, ChatCompletionMessageParam),
    ({"role": "user", "content": [{"type": "text", "text": 5}]}, ChatCompletionMessageParam),
    ({"role": "tool", "content": []}, MessageParam),
    ({"role": "user", "content": [{"type": "text"}]}, MessageParam),
]


@pytest.mark.parametrize(("value", "kind"), GOOD)
def test_what_fits(value: Any, kind: Any) -> None:
    """A value of the type passes."""
    check(value, kind)


@pytest.mark.parametrize(("value", "kind"), BAD)
def test_what_does_not(value: Any, kind: Any) -> None:
    """A field that is missing, not known or of another type is found."""
    with pytest.raises(Misfit):
        check(value, kind)
