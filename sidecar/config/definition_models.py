"""Memory definitions as they are written in YAML: names, types, defaults and limits of every field.

The counterpart is `memory.definition`, to which a valid one is turned; `definitions` reads the files. Descriptions here
are the documentation: the table of docs/definitions.md and the JSON schema are made of them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sidecar.config.durations import parse_duration
from sidecar.config.sizes import parse_size
from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)
from sidecar.memory.message import ROLES
from sidecar.memory.plan import SMALLEST_SUMMARY_TOKENS, STRATEGIES
from sidecar.privacy.builtin import BUILTIN_SETS, compile_pattern
from sidecar.tokens.contexts import Model
from sidecar.tokens.vocabulary import ENCODINGS

MAX_LIMIT = 1_000_000_000
"""Largest token or message limit; above it a limit is a slip of the pen."""

MAX_REPLACEMENT_CHARACTERS = 64
"""Longest replacement: it may stand in a message a thousand times."""

SHARES = ("system", "long_term", "short_term")
"""Shares of `token_allocation` that every definition has; others are names of its priority blocks."""

_FORBID = ConfigDict(extra="forbid", hide_input_in_errors=True)


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
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text):
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


def _template(value: str) -> str:
    from sidecar.templates.engine import TemplateEngine  # late, for start-up: few definitions have one

    TemplateEngine().compile(value)
    return value


def _text(value: Any) -> Any:
    # `version: 1.2` is a number to YAML and a text to everybody else.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Duration = Annotated[int, BeforeValidator(_duration), Field(ge=1)]
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1, le=512 * 1024 * 1024)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Estimate = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
Identifier = Annotated[str, BeforeValidator(_identifier)]
Role = Annotated[str, BeforeValidator(lambda value: _one_of(value, tuple(sorted(ROLES)), "role"))]
Encoding = Annotated[str, BeforeValidator(lambda value: _one_of(value, ENCODINGS, "encoding"))]
Replacement = Annotated[str, AfterValidator(_replacement)]


class FlushModel(BaseModel):
    """The `flush` part of a definition."""

    model_config = _FORBID

    strategy: Annotated[
        str, BeforeValidator(lambda value: _one_of(value, tuple(sorted(STRATEGIES)), "flush strategy"))
    ] = Field(default="hybrid_summary", description="How a memory is compacted.")
    threshold: float = Field(default=0.8, gt=0, le=1, description="Share of a limit above which a flush is due.")
    target: float = Field(
        default=0.5, gt=0, le=1, description="Share of a limit that a flush brings the memory down to."
    )
    summary_tokens: int = Field(
        default=1_000, ge=SMALLEST_SUMMARY_TOKENS, le=MAX_LIMIT, description="Most tokens of the summary."
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

    model_config = _FORBID

    image_tokens: Estimate = Field(default=765, description="Estimate for each image.")
    audio_tokens: Estimate = Field(default=600, description="Estimate for each piece of audio.")
    file_tokens: Estimate = Field(default=1_500, description="Estimate for each file.")


class LifeModel(BaseModel):
    """The `ttl` of a definition, where one duration does not say it all."""

    model_config = _FORBID

    idle: Duration | None = Field(default=None, description="Life time after the last append or read.")
    after_clear: Duration | None = Field(
        default=None, description="How long a cleared memory's last id and lock fences are remembered."
    )
    after_flush: Duration | None = Field(
        default=None, description="Life time after a flush, until the next append or read."
    )


class BlockModel(BaseModel):
    """One of `priority_blocks`: a class of messages."""

    model_config = _FORBID

    name: Identifier = Field(description="Name of the class, for `token_allocation`.")
    priority: Literal["critical", "high", "normal", "low"] = Field(
        default="normal", description="`critical` messages are in every budgeted read and are never removed."
    )
    roles: list[Role] = Field(default=[], description="Roles of its messages; none named: all.")
    keywords: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default=[], max_length=256, description="Words of which its messages hold one; none named: any."
    )


class PatternModel(BaseModel):
    """One of `privacy.patterns`."""

    model_config = _FORBID

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

    model_config = _FORBID

    redact: list[
        Annotated[str, BeforeValidator(lambda value: _one_of(value, BUILTIN_SETS, "built-in set of patterns"))]
    ] = Field(default=[], description=f"Built-in sets of patterns: {', '.join(BUILTIN_SETS)}.")
    patterns: list[PatternModel] = Field(default=[], max_length=64, description="Patterns of your own.")
    replacement: Replacement = Field(
        default="[{kind}]", description="What stands in place of what was found; `{kind}` is the name of the pattern."
    )
    do_not_persist: list[Role] = Field(default=[], description="Messages with these roles are accepted and not stored.")


class LockingModel(BaseModel):
    """The `locking` part of a definition."""

    model_config = _FORBID

    min_lease: Duration = Field(default=100, description="Shortest lease of MEMLOCK.")
    max_lease: Duration = Field(default=600_000, description="Longest lease of MEMLOCK at a time.")
    wait: Annotated[int, BeforeValidator(lambda value: 0 if value in (0, "0") else _duration(value))] = Field(
        default=5_000, ge=0, description="How long a change waits for somebody else's lease; 0: not at all."
    )
    max_wait: Duration = Field(default=60_000, description="Longest WAIT of MEMLOCK.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_lease > self.max_lease:
            raise ValueError("min_lease must not be above max_lease")
        return self


class LimitsModel(BaseModel):
    """The `limits` part of a definition, within those of the whole sidecar."""

    model_config = _FORBID

    message_bytes: Size | None = Field(default=None, description="Most bytes of one message.")
    request_bytes: Size | None = Field(default=None, description="Most bytes of the messages of one append.")
    request_messages: Limit | None = Field(default=None, description="Most messages of one append.")


class ModelModel(BaseModel):
    """One of `models`: what is known of a language model."""

    model_config = _FORBID

    context: Limit = Field(description="Tokens of its context.")
    encoding: Encoding = Field(default="o200k_base", description="Vocabulary that comes nearest to its own.")
    calibration: float = Field(default=1.0, ge=1, le=10, description="Factor on counts in that vocabulary.")


class DefinitionModel(BaseModel):
    """One definition."""

    model_config = _FORBID

    id: Identifier = Field(description="First part of the keys of its memories.")
    description: str = Field(default="", description="For people.")
    version: Annotated[str, BeforeValidator(_text)] = Field(default="", max_length=64, description="For people.")
    type: Literal["token_based", "message_count_based", "buffer"] = Field(
        default="token_based",
        description="What limits it: tokens, messages, or (`buffer`) either, with the oldest messages going as "
        "new ones come.",
    )
    model: str | None = Field(
        default=None, description="A model's name, from which encoding, calibration and context size follow."
    )
    encoding: Encoding | None = Field(
        default=None, description="Vocabulary of the counts: `o200k_base`, `cl100k_base`."
    )
    calibration: float | None = Field(
        default=None, ge=1, le=10, description="Factor on every count, for models with another vocabulary."
    )
    per_message_overhead: int = Field(
        default=3, ge=0, le=1_000, description="Tokens that the chat format adds to each message."
    )
    max_tokens: Limit | None = Field(default=128_000, description="Most tokens, the summary included.")
    max_messages: Limit | None = Field(default=None, description="Most messages.")
    max_context_ratio: float | None = Field(
        default=None, gt=0, le=1, description="`max_tokens` as a share of the model's context."
    )
    media: MediaModel = Field(default=MediaModel(), description="What parts weigh that are no text.")
    ttl: Duration | LifeModel | None = Field(
        default=None, description="Life time after the last append or read; without it a memory never expires."
    )
    key_template: Annotated[str, Field(min_length=1), AfterValidator(_template)] | None = Field(
        default=None, description="Instance of a key that is the bare id, such as `{{ workflow.id }}`."
    )
    mode: Literal["read-write", "read-only"] = Field(
        default="read-write", description="`read-only` refuses every command that changes a memory."
    )
    overflow: Literal["allow", "reject", "trim"] | None = Field(
        default=None,
        description="What happens to an append above a limit: it is stored (`allow`), refused, or the oldest "
        "make room.",
    )
    priority_blocks: list[BlockModel] = Field(
        default=[], max_length=32, description="Classes of messages; a message belongs to the first one that it fits."
    )
    token_allocation: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="Largest shares of a read budget: `system` (instructions, pins), `long_term` (the summary), "
        "each class; "
        "`short_term` is what these leave in any case.",
    )
    flush: FlushModel = Field(default=FlushModel(), description="When and how it is compacted.")
    privacy: PrivacyModel = Field(default=PrivacyModel(), description="What is not stored.")
    locking: LockingModel = Field(default=LockingModel(), description="Limits of the turn lock.")
    idempotency_ttl: Duration = Field(
        default=86_400_000, description="How long the token of an IDEMPOTENT append is remembered."
    )
    limits: LimitsModel = Field(default=LimitsModel(), description="Limits of one append.")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        given = self.model_fields_set
        if self.type == "message_count_based" and self.max_messages is None:
            raise ValueError("type message_count_based needs max_messages")
        if self.type == "buffer":
            if not given & {"max_tokens", "max_messages", "max_context_ratio"}:
                raise ValueError("type buffer needs max_tokens or max_messages")
            if self.overflow not in (None, "trim"):
                raise ValueError("a buffer's oldest messages make room; its overflow is trim")
            if "flush" in given:
                raise ValueError("a buffer is never flushed; leave flush out, or take another type")
        return self

    @model_validator(mode="after")
    def _one_source_of_limits(self) -> Self:
        given = self.model_fields_set
        if self.max_context_ratio is not None:
            if self.model is None:
                raise ValueError("max_context_ratio is a share of a model's context; give model")
            if "max_tokens" in given:
                raise ValueError("give either max_tokens or max_context_ratio, not both")
        return self

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        known = {*SHARES, *(block.name for block in self.priority_blocks)}
        unknown = sorted(self.token_allocation.keys() - known)
        if unknown:
            raise ValueError(
                f"token_allocation names {', '.join(unknown)}; it knows {', '.join(SHARES)} and the names of "
                f"priority_blocks"
            )
        total = sum(self.token_allocation.values())
        if total > 1.000001:
            raise ValueError(f"the shares of token_allocation add up to {total:g}; they must not be above 1")
        names = [block.name for block in self.priority_blocks]
        if len(set(names)) < len(names) or set(names) & set(SHARES):
            raise ValueError(f"names of priority_blocks must differ, also from {', '.join(SHARES)}")
        return self

    def to_domain(self, models: dict[str, Model]) -> Definition:
        """Return the definition without any trace of where it came from.

        Args:
            models: what is known of models, by name, the one that is named here among them.

        Raises:
            ValueError: what it asks for does not fit together.
        """
        model = models[self.model] if self.model is not None else Model(None, None)
        max_tokens = self._max_tokens(model)
        flush = self._flush(max_tokens)
        life = (
            self.ttl
            if isinstance(self.ttl, LifeModel)
            else LifeModel.model_construct(idle=self.ttl, after_clear=None, after_flush=None)
        )
        return Definition(
            id=self.id,
            description=self.description,
            version=self.version,
            type=self.type,
            encoding=self._encoding(model),
            model=self.model,
            calibration=self.calibration if self.calibration is not None else model.calibration,
            per_message_overhead=self.per_message_overhead,
            max_tokens=max_tokens,
            max_messages=self.max_messages,
            ttl_ms=life.idle,
            ttl_after_clear_ms=life.after_clear,
            ttl_after_flush_ms=life.after_flush,
            image_tokens=self.media.image_tokens,
            audio_tokens=self.media.audio_tokens,
            file_tokens=self.media.file_tokens,
            key_template=self.key_template,
            mode=self.mode,
            overflow=self.overflow or ("trim" if self.type == "buffer" else "allow"),
            priority_blocks=tuple(
                PriorityBlock(each.name, each.priority, tuple(each.roles), tuple(each.keywords))
                for each in self.priority_blocks
            ),
            token_allocation=self.token_allocation,
            flush=flush,
            privacy=PrivacyPolicy(
                tuple(self.privacy.redact),
                tuple(RedactionPattern(each.name, each.regex, each.replacement) for each in self.privacy.patterns),
                self.privacy.replacement,
                tuple(self.privacy.do_not_persist),
            ),
            locking=LockPolicy(
                self.locking.min_lease, self.locking.max_lease, self.locking.wait, self.locking.max_wait
            ),
            idempotency_ttl_ms=self.idempotency_ttl,
            max_message_bytes=self.limits.message_bytes,
            max_request_bytes=self.limits.request_bytes,
            max_request_messages=self.limits.request_messages,
        )

    def _encoding(self, model: Model) -> str:
        if self.model is None:
            return self.encoding or Definition().encoding
        if model.encoding is None and self.encoding is None:
            raise ValueError(
                f"no shipped vocabulary is that of '{self.model}'; give encoding and calibration, or add it to models"
            )
        if model.encoding is not None and self.encoding is not None:
            raise ValueError(f"the encoding of '{self.model}' is {model.encoding}; give either encoding or model")
        return model.encoding or str(self.encoding)

    def _max_tokens(self, model: Model) -> int | None:
        if self.max_context_ratio is not None:
            if model.context is None:
                raise ValueError(f"the context size of '{self.model}' is not known; add it to models")
            return max(1, int(model.context * self.max_context_ratio))
        if self.type != "token_based" and "max_tokens" not in self.model_fields_set:
            return None
        return self.max_tokens

    def _flush(self, max_tokens: int | None) -> FlushPolicy:
        flush, summary_tokens = self.flush, self.flush.summary_tokens
        if max_tokens is not None:
            room = int(max_tokens * flush.target)
            given = "summary_tokens" in flush.model_fields_set
            if flush.strategy == "hybrid_summary" and given and summary_tokens >= room and self.type != "buffer":
                raise ValueError(f"flush.summary_tokens ({summary_tokens}) must be below the target of {room} tokens")
            # A small memory gets a small summary without being asked for one.
            summary_tokens = min(summary_tokens, max(room // 2, SMALLEST_SUMMARY_TOKENS))
            if "long_term" in self.token_allocation:
                share = int(room * self.token_allocation["long_term"])
                summary_tokens = min(summary_tokens, max(share, SMALLEST_SUMMARY_TOKENS))
        return FlushPolicy(flush.strategy, flush.threshold, flush.target, summary_tokens)


class DefinitionsFile(BaseModel):
    """A whole file."""

    model_config = _FORBID

    strict: bool | None = Field(default=None, description="Refuse keys that name no definition.")
    models: dict[str, Annotated[ModelModel, BeforeValidator(lambda value: _context(value))]] | None = Field(
        default=None, description="Language models that the table lacks, or has otherwise: context size, encoding."
    )
    defaults: dict[str, Any] | None = Field(
        default=None, description="Fields that every definition has unless it says otherwise."
    )
    definitions: list[DefinitionModel] = Field(min_length=1, description="The definitions.")


def _context(value: Any) -> Any:
    return {"context": value} if isinstance(value, int) and not isinstance(value, bool) else value
