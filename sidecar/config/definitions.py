"""Reads memory definitions from YAML, and reports everything that is wrong with a file at once.

strict: false
definitions:
  - id: chat
    description: Customer conversations
    model: gpt-4o
    max_tokens: 8000
    ttl: 30d
    flush: {strategy: hybrid_summary, threshold: 0.8, target: 0.5}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sidecar.config.durations import parse_duration
from sidecar.errors import ConfigurationError
from sidecar.memory.definition import DEFAULT_DEFINITION, Definition, FlushPolicy
from sidecar.memory.plan import SMALLEST_SUMMARY_TOKENS, STRATEGIES
from sidecar.tokens.models import encoding_for_model
from sidecar.tokens.vocabulary import ENCODINGS

MAX_LIMIT = 1_000_000_000
"""Largest token or message limit; above it a limit is a slip of the pen."""


def _duration(value: Any) -> Any:
    # A bare number is refused by the parser: nobody knows whether seconds or milliseconds are meant.
    return None if value is None else parse_duration(str(value))


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise ValueError(f"'{value}' is no {what}; use one of {', '.join(known)}")
    return value


def _known_model(name: str) -> str:
    encoding_for_model(name)  # raises ValueError where tiktoken does not know it
    return name


def _identifier(value: Any) -> str:
    # YAML reads an empty value as null and `no` as false; their Python names are not what was meant.
    text = "" if value is None or isinstance(value, bool) else str(value)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text):
        raise ValueError(
            f"'{value}' must have 1 to 64 of the characters A-Z a-z 0-9 _ . -, in quotes if it is a word of YAML"
        )
    return text


class FlushModel(BaseModel):
    """The `flush` part of a definition."""

    model_config = ConfigDict(extra="forbid")

    strategy: Annotated[
        str, BeforeValidator(lambda value: _one_of(value, tuple(sorted(STRATEGIES)), "flush strategy"))
    ] = "hybrid_summary"
    threshold: float = Field(default=0.8, gt=0, le=1, description="Share of a limit above which a flush is due.")
    target: float = Field(
        default=0.5, gt=0, le=1, description="Share of a limit that a flush brings the memory down to."
    )
    summary_tokens: int = Field(
        default=1_000, ge=SMALLEST_SUMMARY_TOKENS, le=MAX_LIMIT, description="Most tokens of the summary."
    )

    @model_validator(mode="after")
    def _target_below_threshold(self) -> FlushModel:
        if self.target >= self.threshold:
            raise ValueError(
                f"target ({self.target}) must be below threshold ({self.threshold}), or flushes never rest"
            )
        return self


class DefinitionModel(BaseModel):
    """One definition as written in YAML."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, BeforeValidator(_identifier)]
    description: str = ""
    encoding: Annotated[str, BeforeValidator(lambda value: _one_of(value, ENCODINGS, "encoding"))] | None = None
    model: Annotated[str, AfterValidator(_known_model)] | None = Field(
        default=None, description="A model's name, from which the encoding follows."
    )
    max_tokens: int | None = Field(default=128_000, ge=1, le=MAX_LIMIT)
    max_messages: int | None = Field(default=None, ge=1, le=MAX_LIMIT)
    ttl: Annotated[int | None, BeforeValidator(_duration)] = Field(
        default=None, ge=1, description="How long a memory lives after its last use; never ends without it."
    )
    image_tokens: int = Field(default=765, ge=0, le=MAX_LIMIT, description="Estimate for each image part.")
    audio_tokens: int = Field(default=600, ge=0, le=MAX_LIMIT, description="Estimate for each audio part.")
    flush: FlushModel = FlushModel()

    @model_validator(mode="after")
    def _one_source_of_encoding(self) -> DefinitionModel:
        if self.encoding is not None and self.model is not None:
            raise ValueError("give either encoding or model, not both")
        limit = self.max_tokens
        if limit is not None and self.flush.strategy == "hybrid_summary":
            room = int(limit * self.flush.target)
            if self.flush.summary_tokens >= room and "summary_tokens" in self.flush.model_fields_set:
                raise ValueError(
                    f"flush.summary_tokens ({self.flush.summary_tokens}) must be below the target of {room} tokens"
                )
        return self

    def to_domain(self) -> Definition:
        """Return the definition without any trace of where it came from."""
        encoding = self.encoding or (encoding_for_model(self.model) if self.model else Definition().encoding)
        flush = self.flush
        summary_tokens = flush.summary_tokens
        if self.max_tokens is not None:  # a small memory gets a small summary without being asked for one
            summary_tokens = min(summary_tokens, max(int(self.max_tokens * flush.target) // 2, SMALLEST_SUMMARY_TOKENS))
        return Definition(
            id=self.id,
            description=self.description,
            encoding=encoding,
            max_tokens=self.max_tokens,
            max_messages=self.max_messages,
            ttl_ms=self.ttl,
            image_tokens=self.image_tokens,
            audio_tokens=self.audio_tokens,
            flush=FlushPolicy(flush.strategy, flush.threshold, flush.target, summary_tokens),
        )


class DefinitionsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    strict: bool = Field(default=False, description="Refuse keys that name no definition.")
    definitions: list[DefinitionModel] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique_ids(self) -> DefinitionsFile:
        ids = [definition.id for definition in self.definitions]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"these ids are defined more than once: {', '.join(twice)}")
        return self


@dataclass(frozen=True, slots=True)
class Definitions:
    """The memory definitions in force, by id."""

    by_id: dict[str, Definition]
    strict: bool = False


def builtin_definitions() -> Definitions:
    """Return what holds without a file: the one definition `default`."""
    return Definitions({DEFAULT_DEFINITION: Definition()})


def load_definitions(path: Path) -> Definitions:
    """Read a file. Where it does not define `default` and is not strict, the built-in one is added.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError([f"{path}: cannot be read: {problem}"]) from problem
    except yaml.YAMLError as problem:
        raise ConfigurationError([f"{path}: is not YAML: {problem}"]) from problem
    try:
        file = DefinitionsFile.model_validate(content)
    except ValidationError as problem:
        raise ConfigurationError([_line(path, content, finding) for finding in problem.errors()]) from problem
    by_id = {definition.id: definition.to_domain() for definition in file.definitions}
    if not file.strict:
        by_id.setdefault(DEFAULT_DEFINITION, Definition())
    return Definitions(by_id, file.strict)


def _line(path: Path, content: Any, finding: Any) -> str:
    """Return one problem as `file: definition 'chat', field: text`."""
    where: list[str] = []
    location = list(finding["loc"])
    if len(location) > 1 and location[0] == "definitions" and isinstance(location[1], int):
        entry = content["definitions"][location[1]]
        name = entry.get("id") if isinstance(entry, dict) else None
        where.append(f"definition '{name}'" if name else f"definition number {location[1] + 1}")
        location = location[2:]
    if location:
        where.append(".".join(map(str, location)))
    text = finding["msg"].removeprefix("Value error, ")
    return ": ".join([str(path), *([", ".join(where)] if where else []), text])
