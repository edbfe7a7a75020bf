"""What is known of models: the size of their context, and the vocabulary that counts for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.tokens.contexts import CONTEXTS, Model, known_model
from sidecar.tokens.problems import UnknownModel
from sidecar.tokens.vocabulary import ENCODINGS


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-5", Model(400_000, "o200k_base")),
        ("gpt-5.1-codex", Model(400_000, "o200k_base")),
        ("gpt-4o-2024-08-06", Model(128_000, "o200k_base")),
        ("gpt-4", Model(8_192, "cl100k_base")),
        ("gpt-4-0613", Model(8_192, "cl100k_base")),
        ("gpt-4-32k-0613", Model(32_768, "cl100k_base")),
        ("gpt-4-turbo-2024-04-09", Model(128_000, "cl100k_base")),
        ("gpt-4-1106-preview", Model(128_000, "cl100k_base")),
        ("gpt-4.1-mini", Model(1_047_576, "o200k_base")),
        ("ft:gpt-4o:acme::1", Model(128_000, "o200k_base")),
        ("ft:gpt-4-0613:acme::1", Model(8_192, "cl100k_base")),
        ("o1", Model(200_000, "o200k_base")),
        ("o1-mini-2024-09-12", Model(128_000, "o200k_base")),
        ("claude-sonnet-4-5", Model(200_000, None)),
        ("gemini-2.5-pro", Model(1_048_576, None)),
        ("gemini-1.5-pro-002", Model(2_097_152, None)),
        ("llama-3.3-70b-instruct", Model(131_072, None)),
    ],
)
def test_known_models(name: str, model: Model) -> None:
    """The longest beginning that is known decides; a vocabulary is told for OpenAI's models alone."""
    assert known_model(name) == model
    assert model.calibration == 1


@pytest.mark.parametrize(
    "name", ["", "nope", "claud", "claudette", "gem", "o", "ft:", "ft:nope:acme", "ft:claude", "xgpt-4"]
)
def test_unknown_models(name: str) -> None:
    """What is only like the beginning of a known name is not known, and nothing is guessed."""
    with pytest.raises(UnknownModel):
        known_model(name)


@pytest.mark.parametrize("beginning", CONTEXTS)
def test_every_beginning(beginning: str) -> None:
    """Each one of the table is known by itself, with a context that holds a conversation."""
    model = known_model(beginning)
    assert model.context == CONTEXTS[beginning] >= 4_096
    assert model.encoding is None or model.encoding in ENCODINGS


@given(st.sampled_from(sorted(CONTEXTS)), st.sampled_from("-."), st.text("0123456789z", min_size=1, max_size=8))
def test_a_date_changes_nothing(beginning: str, mark: str, date: str) -> None:
    """A name with something behind it has the context of its longest known beginning, fine-tuned or not."""
    name = f"{beginning}{mark}{date}"
    fitting = [known for known in CONTEXTS if name == known or name.startswith((f"{known}-", f"{known}."))]
    expected = CONTEXTS[max(fitting, key=len)]
    assert known_model(name).context == known_model(f"ft:{name}:acme::1").context == expected
