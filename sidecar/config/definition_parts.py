"""The parts of a memory definition as they are written in YAML; the whole is in `definition_models`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sidecar.config import durations, sizes
from sidecar.config.durations import parse_duration
from sidecar.config.sizes import parse_size
from sidecar.memory.definition import EXTRACTIVE, TOOL_RESULT_TOKENS, Priority
from sidecar.memory.message import ROLES
from sidecar.memory.plan import SMALLEST_SUMMARY_TOKENS, STRATEGIES
from sidecar.privacy.builtin import BUILTIN_SETS, compile_pattern
from sidecar.tokens.vocabulary import ENCODINGS

MAX_LIMIT = 1_000_000_000
"""Largest token or message limit; above it a limit is a slip of the pen."""

MAX_REPLACEMENT_CHARACTERS = 64
"""Longest replacement: it may stand in a message a thousand times."""

SMALLEST_TOOL_RESULT_TOKENS = 16
"""The chat format takes four of them and the note that something was cut about as many; a few words need the rest."""

IDENTIFIER = r"[A-Za-z0-9_.-]{1,64}"
"""What names of definitions, classes and patterns are made of."""

FORBID = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _duration(value: Any) -> Any:
    # A bare number is refused by the parser: nobody knows whether seconds or milliseconds are meant.
    return None if value is None else parse_duration(str(value))


def _one_of(value: Any, known: tuple[str, ...], what: str) -> Any:
    if value not in known:
        raise ValueError(f"'{value}' is no {what}; use one of {', '.join(known)}")
    return value


def _identifier(value: Any) -> str:
    # YAML reads an empty value as null and `no` as false; their Python names are not what was meant.
    text = "" if value is None or isinstance(value, bool) else str(value)
    if not re.fullmatch(IDENTIFIER, text):
        raise ValueError(
            f"'{value}' must have 1 to 64 of the characters A-Z a-z 0-9 _ . -, in quotes if it is a word of YAML"
        )
    return text


def _replacement(value: str) -> str:
    if len(value) > MAX_REPLACEMENT_CHARACTERS or any(c in '"\\' or not c.isprintable() for c in value):
        raise ValueError(
            f"a replacement has at most {MAX_REPLACEMENT_CHARACTERS} characters and no quotation mark, backslash or "
            "control character, because it may stand inside of JSON"
        )
    return value


@dataclass(frozen=True)
class OrShort:
    """Tells the JSON schema of a field that it may also be written in a short form, which a validator makes long."""

    short: JsonSchemaValue

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long = handler(core)
        return {"anyOf": [self.short, *long.get("anyOf", [long])]}


def _choice(known: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(known)})


_ROLES = tuple(sorted(ROLES))
_STRATEGIES = tuple(sorted(STRATEGIES))

Duration = Annotated[int, BeforeValidator(_duration), Field(ge=1), WithJsonSchema(durations.SCHEMA)]
Wait = Annotated[
    int,
    BeforeValidator(lambda value: 0 if value in (0, "0") else _duration(value)),
    WithJsonSchema({"anyOf": [durations.SCHEMA, {"enum": [0, "0"]}]}),
]
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1, le=sizes.LARGEST_BYTES), WithJsonSchema(sizes.SCHEMA)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Estimate = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
Identifier = Annotated[
    str,
    BeforeValidator(_identifier),
    WithJsonSchema({"type": ["string", "number"], "pattern": f"^{IDENTIFIER}$"}),
]
Role = Annotated[str, BeforeValidator(lambda value: _one_of(value, _ROLES, "role")), _choice(_ROLES)]
Encoding = Annotated[str, BeforeValidator(lambda value: _one_of(value, ENCODINGS, "encoding")), _choice(ENCODINGS)]
Strategy = Annotated[
    str, BeforeValidator(lambda value: _one_of(value, _STRATEGIES, "flush strategy")), _choice(_STRATEGIES)
]
BuiltinSet = Annotated[
    str, BeforeValidator(lambda value: _one_of(value, BUILTIN_SETS, "built-in set of patterns")), _choice(BUILTIN_SETS)
]
Replacement = Annotated[
    str,
    AfterValidator(_replacement),
    WithJsonSchema({"type": "string", "maxLength": MAX_REPLACEMENT_CHARACTERS, "pattern": r'^[^"\\\x00-\x1f]*$'}),
]


class FlushModel(BaseModel):
    """The `flush` part of a definition."""

    model_config = FORBID

    strategy: Strategy = Field(
        default="hybrid_summary", description="How a memory is compacted; see docs/strategies.md."
    )
    threshold: float = Field(default=0.8, gt=0, le=1, description="Share of a limit above which a flush is due.")
    target: float = Field(
        default=0.5, gt=0, le=1, description="Share of a limit that a flush brings the memory down to."
    )
    summary_tokens: int = Field(
        default=1_000, ge=SMALLEST_SUMMARY_TOKENS, le=MAX_LIMIT, description="Most tokens of the summary."
    )
    undo_ttl: Wait = Field(
        default=3_600_000, description="How long what a flush took is kept for `MEMFLUSH UNDO`; 0: not at all."
    )
    tool_result_tokens: int = Field(
        default=TOOL_RESULT_TOKENS,
        ge=SMALLEST_TOOL_RESULT_TOKENS,
        le=MAX_LIMIT,
        description="Most tokens that `tool_trim` leaves of an old result of a tool.",
    )

    summariser: Identifier = Field(
        default=EXTRACTIVE, description="What makes the summaries: `extractive`, or a name of `summarisers`."
    )
    fallback: Literal["extractive", "drop", "keep"] = Field(
        default="extractive",
        description="What happens where that makes none: `extractive` makes it, the messages go and the earlier "
        "summary stays (`drop`), or nothing is removed (`keep`).",
    )

    @model_validator(mode="after")
    def _target_below_threshold(self) -> Self:
        if self.target >= self.threshold:
            raise ValueError(
                f"target ({self.target}) must be below threshold ({self.threshold}), or flushes never rest"
            )
        return self


class MediaModel(BaseModel):
    """The `media` part of a definition: what parts of a message weigh that are no text."""

    model_config = FORBID

    image_tokens: Estimate = Field(default=765, description="Estimate for each image.")
    audio_tokens: Estimate = Field(default=600, description="Estimate for each piece of audio.")
    file_tokens: Estimate = Field(default=1_500, description="Estimate for each file.")


class LifeModel(BaseModel):
    """The `ttl` of a definition, where one duration does not say it all."""

    model_config = FORBID

    idle: Duration | None = Field(default=None, description="Life time after the last append or read.")
    after_clear: Duration | None = Field(
        default=None, description="How long a cleared memory's last id and lock fences are remembered."
    )
    after_flush: Duration | None = Field(
        default=None, description="Life time after a flush, until the next append or read."
    )


def life(value: Any) -> Any:
    """Return the life times that one duration, or a mapping of them, says."""
    if value is None or isinstance(value, dict | LifeModel):
        return value
    return LifeModel.model_construct(idle=_duration(value), after_clear=None, after_flush=None)


class BlockModel(BaseModel):
    """One of `priority_blocks`: a class of messages."""

    model_config = FORBID

    name: Identifier = Field(description="Name of the class, for `token_allocation`.")
    priority: Priority = Field(
        default="normal",
        description="`critical` messages are in every budgeted read and are never removed, as instructions are. "
        "With the strategy `priority`, `low` ones go first and `high` ones last.",
    )
    roles: list[Role] = Field(default=[], description="Roles of its messages; none named: all.")
    keywords: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default=[], max_length=256, description="Words of which its messages hold one; none named: any."
    )


class PatternModel(BaseModel):
    """One of `privacy.patterns`."""

    model_config = FORBID

    name: Identifier = Field(description="Name of the pattern, for metrics and `{kind}`.")
    regex: str = Field(min_length=1, description="Regular expression in RE2's syntax; of a group, that is taken out.")
    replacement: Replacement | None = Field(default=None, description="Instead of that of `privacy`.")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str, info: ValidationInfo) -> str:
        compile_pattern(str(info.data.get("name", "")), value)
        return value


class PrivacyModel(BaseModel):
    """The `privacy` part of a definition."""

    model_config = FORBID

    redact: list[BuiltinSet] = Field(default=[], description=f"Built-in sets of patterns: {', '.join(BUILTIN_SETS)}.")
    patterns: list[PatternModel] = Field(default=[], max_length=64, description="Patterns of your own.")
    replacement: Replacement = Field(
        default="[{kind}]", description="What stands in place of what was found; `{kind}` is the name of the pattern."
    )
    do_not_persist: list[Role] = Field(default=[], description="Messages with these roles are accepted and not stored.")


class LockingModel(BaseModel):
    """The `locking` part of a definition."""

    model_config = FORBID

    min_lease: Duration = Field(default=100, description="Shortest lease of MEMLOCK.")
    max_lease: Duration = Field(default=600_000, description="Longest lease of MEMLOCK at a time.")
    wait: Wait = Field(default=5_000, description="How long a change waits for somebody else's lease; 0: not at all.")
    max_wait: Duration = Field(default=60_000, description="Longest WAIT of MEMLOCK.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_lease > self.max_lease:
            raise ValueError("min_lease must not be above max_lease")
        return self


class LimitsModel(BaseModel):
    """The `limits` part of a definition, within those of the whole sidecar."""

    model_config = FORBID

    message_bytes: Size | None = Field(default=None, description="Most bytes of one message.")
    request_bytes: Size | None = Field(default=None, description="Most bytes of the messages of one append.")
    request_messages: Limit | None = Field(default=None, description="Most messages of one append.")
