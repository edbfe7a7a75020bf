"""What is known of language models: context size, and which shipped vocabulary counts for them.

Context sizes are those that the vendors publish; a model that is missing, or has grown, is told in the `models` of a
definitions file. For models of other vendors than OpenAI no shipped vocabulary is right, and none is guessed: whoever
uses one names a vocabulary and a calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from sidecar.tokens.models import encoding_for_model
from sidecar.tokens.problems import UnknownModel
from sidecar.tokens.vocabulary import ENCODINGS


class Model(NamedTuple):
    """What is known of a model.

    Args:
        context: tokens of its context; None where that is not known.
        encoding: the shipped vocabulary of its counts; None where none is right.
        calibration: factor on counts in that vocabulary.
    """

    context: int | None
    encoding: str | None
    calibration: float = 1.0


_K = 1_024

CONTEXTS: Mapping[str, int] = MappingProxyType(
    {
        "gpt-5": 400_000,
        "gpt-5-chat": 128_000,
        "gpt-4.5": 128_000,
        "gpt-4.1": 1_047_576,
        "gpt-4o": 128_000,
        "chatgpt-4o": 128_000,
        "gpt-4-turbo": 128_000,
        "gpt-4-0125": 128_000,
        "gpt-4-1106": 128_000,
        "gpt-4-vision": 128_000,
        "gpt-4-32k": 32_768,
        "gpt-4": 8_192,
        "gpt-3.5-turbo": 16_385,
        "gpt-3.5-turbo-0613": 4_096,
        "gpt-3.5-turbo-instruct": 4_096,
        "gpt-35-turbo": 16_385,
        "gpt-oss": 131_072,
        "o1-mini": 128_000,
        "o1-preview": 128_000,
        "o1": 200_000,
        "o3": 200_000,
        "o4-mini": 200_000,
        "claude": 200_000,
        "claude-2.0": 100_000,
        "claude-instant": 100_000,
        "gemini-1.5-pro": 2_097_152,
        "gemini-pro": 32_768,
        "gemini-1.0": 32_768,
        "gemini": 1_048_576,
        "gemma-3": 128 * _K,
        "gemma-3-1b": 32 * _K,
        "mistral-large": 128 * _K,
        "mistral-medium": 128 * _K,
        "mistral-small": 128 * _K,
        "mixtral-8x7b": 32 * _K,
        "codestral": 256_000,
        "deepseek": 128_000,
        "llama-4-scout": 10_000_000,
        "llama-4-maverick": 1_000_000,
        "llama-3.1": 128 * _K,
        "llama-3.2": 128 * _K,
        "llama-3.3": 128 * _K,
        "qwen2.5": 128 * _K,
        "qwen3": 128 * _K,
        "command-r": 128_000,
        "command-a": 256_000,
    }
)
"""Tokens of the context by the beginning of a model's name; the longest beginning counts."""


def known_model(name: str) -> Model:
    """Return what is known of a model.

    Args:
        name: as its vendor writes it, with or without a date, or what it was fine-tuned for.

    Raises:
        UnknownModel: neither its vocabulary nor its context is known.
    """
    try:
        encoding = encoding_for_model(name)
    except UnknownModel:
        encoding = None
    context = _context(name)
    if encoding is None and context is None:
        raise UnknownModel(name, ENCODINGS)
    return Model(context, encoding)


def _context(name: str) -> int | None:
    base = name.split(":")[1] if name.startswith("ft:") and ":" in name[3:] else name
    fitting = [
        beginning for beginning in CONTEXTS if base == beginning or base.startswith((f"{beginning}-", f"{beginning}."))
    ]
    return CONTEXTS[max(fitting, key=len)] if fitting else None
