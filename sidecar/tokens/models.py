"""Which shipped vocabulary counts for a model.

The counterpart is tiktoken's table of models. Deliberately no guess for models it does not know: a wrong
vocabulary is off by 10 to 30 %, silently, so configuration has to say which one it takes.
"""

from __future__ import annotations

from sidecar.tokens.problems import UnknownModel
from sidecar.tokens.vocabulary import ENCODINGS

# Encodings that differ from a shipped one in their special tokens alone. Those are plain text here, so every
# count is the same.
_SAME_COUNTS = {"o200k_harmony": "o200k_base"}


def encoding_for_model(model: str) -> str:
    """Return the name of the shipped vocabulary of a model.

    Args:
        model: a name as OpenAI and Azure write it, with or without a date (`gpt-4o`, `gpt-4o-2024-05-13`,
            `gpt-35-turbo`, `ft:gpt-4o:…`).

    Raises:
        UnknownModel: tiktoken does not know the model, or its vocabulary is not shipped.
    """
    import tiktoken  # late, for start-up: most definitions name an encoding

    try:
        encoding = tiktoken.encoding_name_for_model(model)
    except KeyError:
        raise UnknownModel(model, ENCODINGS) from None
    encoding = _SAME_COUNTS.get(encoding, encoding)
    if encoding not in ENCODINGS:
        raise UnknownModel(model, ENCODINGS)
    return encoding
