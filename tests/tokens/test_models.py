"""Tests of `sidecar.tokens.models`."""

from __future__ import annotations

import pytest
import tiktoken.model

from sidecar.tokens.models import encoding_for_model
from sidecar.tokens.problems import UnknownModel
from sidecar.tokens.vocabulary import ENCODINGS


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-5", "o200k_base"),
        ("gpt-5-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-2024-05-13", "o200k_base"),
        ("o3", "o200k_base"),
        ("o1-preview", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("ft:gpt-4o:acme::1", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("ft:gpt-4:acme::1", "cl100k_base"),
    ],
)
def test_known_models(model: str, encoding: str) -> None:
    """A model of OpenAI or Azure, dated or fine-tuned, maps to its vocabulary."""
    assert encoding_for_model(model) == encoding


@pytest.mark.parametrize("model", ["", "claude-sonnet-4", "gemini-2.5-pro", "GPT-4o", "gpt-4o\n", "llama3"])
def test_models_of_others_are_refused(model: str) -> None:
    """A model that tiktoken does not know is an error that names it and says what to set instead."""
    with pytest.raises(UnknownModel) as caught:
        encoding_for_model(model)
    assert str(caught.value) == (
        f"no vocabulary is known for the model {model!r}; set `encoding:` to one of o200k_base, cl100k_base"
    )
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("model", ["text-davinci-003", "gpt2", "code-davinci-edit-001", "davinci"])
def test_models_with_a_vocabulary_that_is_not_shipped_are_refused(model: str) -> None:
    """A model that tiktoken knows by a vocabulary that is not shipped is refused, never counted by another."""
    with pytest.raises(UnknownModel):
        encoding_for_model(model)


def test_every_model_of_tiktokens_table_maps_or_is_refused() -> None:
    """Each model in tiktoken's table maps to a shipped vocabulary that is its own, or is refused."""
    same = {name: name for name in ENCODINGS} | {"o200k_harmony": "o200k_base"}
    for model, theirs in tiktoken.model.MODEL_TO_ENCODING.items():
        if theirs in same:
            assert encoding_for_model(model) == same[theirs]
        else:
            with pytest.raises(UnknownModel):
                encoding_for_model(model)
