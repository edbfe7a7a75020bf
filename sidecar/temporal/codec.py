"""Loads the codec through which everything goes that Temporal keeps: arguments, results, memos, summaries, errors.

Memsidecar puts no text of a conversation into any of them (see `messages`), but names of memories are there, and some
may not leave the house in plain. The codec itself is the user's; what Temporal must read to find a run (workflow ids,
search attributes) passes it by.
"""

from __future__ import annotations

import dataclasses
from importlib import import_module

from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from sidecar.errors import ConfigurationError

SETTING = "temporal_payload_codec"


def converter(codec: str | None) -> DataConverter:
    """Return the converter with the codec that is named, or without one.

    Args:
        codec: `module:attribute`, a `PayloadCodec` or what returns one when it is called; None for none.

    Raises:
        ConfigurationError: it cannot be loaded, or is no codec.
    """
    if codec is None:
        return DataConverter.default
    return dataclasses.replace(
        DataConverter.default,
        payload_codec=_load(codec),
        # Else the texts of errors would be the one thing in plain.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def _load(name: str) -> PayloadCodec:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigurationError([f"{SETTING}: '{name}' must be module:attribute, such as our_codecs:encrypting"])
    try:
        found = getattr(import_module(module), attribute)
        # A class is a factory too, also one of codecs.
        made = found if isinstance(found, PayloadCodec) else found()
    except Exception as problem:
        # Whatever their module does wrong is a mistake of the configuration.
        text = f"{SETTING}: '{name}' cannot be loaded: {type(problem).__name__}: {problem}"
        raise ConfigurationError([text]) from problem
    if not isinstance(made, PayloadCodec):
        kind = type(made).__name__
        raise ConfigurationError([f"{SETTING}: '{name}' is no temporalio.converter.PayloadCodec but a {kind}"])
    return made
