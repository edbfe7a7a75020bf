"""Memory definitions as they are written in YAML: names, types, defaults and limits of every field.

The counterpart is `memory.definition`, to which a valid one is turned; `definitions` reads the files. Descriptions here
are the documentation: the table of docs/definitions.md and the JSON schema are made of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from sidecar.config import durations
from sidecar.config.definition_parts import (
    FORBID,
    MAX_LIMIT,
    BlockModel,
    Duration,
    Encoding,
    FlushModel,
    Identifier,
    LifeModel,
    Limit,
    LimitsModel,
    LockingModel,
    MediaModel,
    OrShort,
    PrivacyModel,
    life,
)
from sidecar.errors import TemplateProblem
from sidecar.logs import Level
from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)
from sidecar.memory.plan import SMALLEST_SUMMARY_TOKENS
from sidecar.tokens.contexts import Model

SHARES = ("system", "long_term", "short_term")
"""Shares of `token_allocation` that every definition has; others are names of its priority blocks."""


def _template(value: str) -> str:
    from sidecar.templates.engine import TemplateEngine  # late, for start-up: few definitions have one

    try:
        TemplateEngine().compile(value)
    except TemplateProblem as problem:
        raise ValueError(str(problem)) from problem
    return value


def _text(value: Any) -> Any:
    # `version: 1.2` is a number to YAML and a text to everybody else.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class ModelModel(BaseModel):
    """One of `models`: what is known of a language model."""

    model_config = FORBID

    context: Limit = Field(description="Tokens of its context.")
    encoding: Encoding = Field(default="o200k_base", description="Vocabulary that comes nearest to its own.")
    calibration: float = Field(default=1.0, ge=1, le=10, description="Factor on counts in that vocabulary.")


class SummariserModel(BaseModel):
    """One of `summarisers`."""

    model_config = FORBID

    kind: str = Field(description="`extractive`, `openai`, or the name that an installed package gives its own.")
    options: dict[str, Any] = Field(default={}, description="What the kind takes, see [summarisers](summarisers.md).")


class DefinitionModel(BaseModel):
    """One definition."""

    model_config = FORBID

    id: Identifier = Field(description="First part of the keys of its memories.")
    description: str = Field(default="", description="For people.")
    version: Annotated[str, BeforeValidator(_text), OrShort({"type": "number"})] = Field(
        default="", max_length=64, description="For people."
    )
    type: Literal["token_based", "message_count_based", "buffer"] = Field(
        default="token_based",
        description="What limits it: tokens, messages, or (`buffer`) either, with the oldest messages going as new "
        "ones come.",
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
    max_tokens: Limit | None = Field(
        default=128_000, description="Most tokens, the summary included; the default is one of `token_based` only."
    )
    max_messages: Limit | None = Field(default=None, description="Most messages.")
    max_context_ratio: float | None = Field(
        default=None, gt=0, le=1, description="`max_tokens` as a share of the model's context."
    )
    media: MediaModel = Field(default=MediaModel(), description="What parts weigh that are no text.")
    ttl: Annotated[LifeModel | None, BeforeValidator(life), OrShort(durations.SCHEMA)] = Field(
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
        description="What happens to an append above a limit: it is stored (`allow`, the default), refused, or the "
        "oldest make room (`trim`, which every buffer does).",
    )
    priority_blocks: list[BlockModel] = Field(
        default=[], max_length=32, description="Classes of messages; a message belongs to the first one that it fits."
    )
    token_allocation: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="Largest shares of a read budget: `system` (instructions, pins), `long_term` (the summary), each "
        "class; `short_term` is what these leave in any case.",
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
        life = self.ttl or LifeModel()
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
        return FlushPolicy(
            strategy=flush.strategy,
            threshold=flush.threshold,
            target=flush.target,
            summary_tokens=summary_tokens,
            tool_result_tokens=flush.tool_result_tokens,
            undo_ttl_ms=flush.undo_ttl or None,
            summariser=flush.summariser,
            fallback=flush.fallback,
        )


class DefinitionsFile(BaseModel):
    """A whole file."""

    model_config = FORBID

    strict: bool | None = Field(default=None, description="Refuse keys that name no definition.")
    log_level: Level | None = Field(
        default=None,
        description="Least severe level that every process logs which reads this; without it `MEMSIDECAR_LOG_LEVEL` "
        "says so.",
    )
    models: (
        dict[
            str,
            Annotated[
                ModelModel,
                BeforeValidator(lambda value: _context(value)),
                OrShort({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
            ],
        ]
        | None
    ) = Field(
        default=None, description="Language models that the table lacks, or has otherwise: context size, encoding."
    )
    summarisers: dict[str, SummariserModel] | None = Field(
        default=None, description="What makes summaries, by the name under which `flush.summariser` asks for it."
    )
    defaults: dict[str, Any] | None = Field(
        default=None,
        description="Fields that every definition has unless it says otherwise, or excludes them by what it says.",
    )
    definitions: list[DefinitionModel] = Field(min_length=1, description="The definitions.")


def _context(value: Any) -> Any:
    return {"context": value} if isinstance(value, int) and not isinstance(value, bool) else value
