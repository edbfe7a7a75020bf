"""Finds summarisers by their kind, and makes them of the options that a definitions file gives.

The kinds `extractive` and `openai` are built in; others come from installed packages through the entry point group
`ENTRY_POINTS`, each a factory `(options) -> Summariser` that refuses options with a `ValueError`. The counterpart is
`sidecar.flush.summarisers` with the adapters, which take plain arguments. Who uses which is in `sidecar.flush.summing`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from sidecar.config.definition_parts import FORBID, Duration
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.summarisers.openai import LimitParameter, OpenAiSummariser
from sidecar.flush.summarisers.prompt import DEFAULT_PROMPT, check_template
from sidecar.memory.definition import EXTRACTIVE
from sidecar.memory.ports import Summariser

ENTRY_POINTS = "memsidecar.summarisers"
"""Group of the factories of other packages; the name of an entry point is the kind."""

Factory = Callable[[Mapping[str, Any]], Summariser]


class OpenAiOptions(BaseModel):
    """The `options` of the kind `openai`."""

    model_config = FORBID

    model: str = Field(min_length=1)
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+")
    api_key_env: str | None = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    prompt: Annotated[str, AfterValidator(check_template)] = DEFAULT_PROMPT
    max_input_tokens: int = Field(default=16_000, ge=100, le=2_000_000)
    timeout: Duration = 60_000
    temperature: float | None = Field(default=None, ge=0, le=2)
    concurrency: int = Field(default=4, ge=1, le=256)
    limit_parameter: LimitParameter = "max_tokens"


class BadOption(ValueError):
    """An option that cannot be used; `path` says which, from `options` on."""

    def __init__(self, path: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = path


def make_summariser(kind: str, options: Mapping[str, Any]) -> Summariser:
    """Return a summariser.

    Args:
        kind: `extractive`, `openai`, or the name of an entry point.
        options: as the file has them.

    Raises:
        ValueError: there is no such kind, or it refuses its options (with `BadOption`, which one).
    """
    builtin = _BUILTIN.get(kind)
    if builtin is not None:
        return builtin(options)
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if kind not in found:
        known = ", ".join(sorted({*_BUILTIN, *found}))
        raise ValueError(f"there is no kind of summariser '{kind}'; use one of {known}, or install its package")
    try:
        factory: Factory = found[kind].load()
    except Exception as problem:
        raise ValueError(f"'{kind}' cannot be loaded from {found[kind].value}: {problem}") from problem
    return _made(kind, factory, options)


def _made(kind: str, factory: Factory, options: Mapping[str, Any]) -> Summariser:
    try:
        return factory(options)
    except ValidationError as problem:
        finding = problem.errors()[0]
        raise BadOption(finding["loc"], finding["msg"].removeprefix("Value error, ")) from problem
    except ValueError:
        raise
    except Exception as problem:
        # Somebody else's code must not end the start with a traceback; the type only, for a text may quote a key.
        raise ValueError(f"the factory of '{kind}' broke with {type(problem).__name__}") from problem


def _extractive(options: Mapping[str, Any]) -> Summariser:
    for name in options:
        raise BadOption((name,), "there is no such field; extractive has no options")
    return ExtractiveSummariser()


def _openai(options: Mapping[str, Any]) -> Summariser:
    try:
        given = OpenAiOptions.model_validate(options)
    except ValidationError as problem:
        finding = problem.errors()[0]
        texts = {"extra_forbidden": "there is no such field", "missing": "is missing"}
        text = texts.get(finding["type"], finding["msg"].removeprefix("Value error, "))
        raise BadOption(finding["loc"], text) from problem
    if find_spec("openai") is None:
        raise ValueError("the kind openai needs a package more: pip install 'memsidecar[openai]'")
    return OpenAiSummariser(
        model=given.model,
        api_key=_key(given.api_key_env),
        base_url=given.base_url,
        template=given.prompt,
        max_input_tokens=given.max_input_tokens,
        timeout_s=given.timeout / 1000,
        temperature=given.temperature,
        concurrency=given.concurrency,
        limit_parameter=given.limit_parameter,
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise BadOption(
            ("api_key_env",),
            f"the environment variable {variable} is not set; set it to the key, or give api_key_env: null where the "
            "endpoint asks for none",
        )
    return key


_BUILTIN: dict[str, Factory] = {EXTRACTIVE: _extractive, "openai": _openai}
