"""Makes docs/definitions.md and docs/definitions.schema.json, which follow from the models that read definitions.

`tests.docs` puts them into their files. The example in the document is docs/definitions.example.yaml, written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sidecar.config.definition_models import DefinitionModel, DefinitionsFile
from sidecar.config.sizes import LARGEST_BYTES
from sidecar.config.sizes import SCHEMA as SIZE
from tests.definition_fields import Field, fields
from tests.definition_schema import definitions_schema, is_duration

DOCS = Path(__file__).resolve().parents[1] / "docs"
REFERENCE = DOCS / "definitions.md"
SCHEMA = DOCS / "definitions.schema.json"
EXAMPLE = DOCS / "definitions.example.yaml"

HEAD = """\
# Memory definitions

<!-- written by `python -m tests.docs` -->

`MEMSIDECAR_DEFINITIONS` names YAML files, folders of them, or several of both, separated as in `PATH`. All are read as
if they were one file. `memsidecar check` says what is wrong with them, all at once, with file, line and field. SIGHUP
has them read anew: what is right is in force for the next command of every client, what is wrong is logged, and then
everything stays as it was. Without a file there is one definition, `default`, with the defaults below.

[definitions.schema.json](definitions.schema.json) is a JSON schema for editors; the first line of the example names it.

## An example with every field

"""

FORMS = f"""\
## How values are written

| type | written as |
|---|---|
| duration | a number and a unit, or several of them: `500ms`, `30s`, `5 minutes`, `24h`, `1h30m`, `30d`, `2w`; \
at most `3650d`; a number alone is refused |
| size | bytes, or a number with a unit: `4096`, `64KiB`, `1.5MiB`, `10MB`; at most {LARGEST_BYTES // 1024**2} MiB |
| name | 1 to 64 of the characters `A-Z a-z 0-9 _ . -` |
| `null` | none: an optional limit or field that does not hold, also where there is a default |
| text | in quotes where YAML would read something else |

"""

INTRODUCTIONS = {
    "DefinitionsFile": "## A file\n\n`strict`, `log_level`, `models`, `summarisers` and `defaults` hold for all files, "
    "and stand in one of them.",
    "ModelModel": "## `models`\n\nA model whose context size is all there is to say may be that number.",
    "SummariserModel": "## `summarisers`\n\nSee [summarisers](summarisers.md).",
    "DefinitionModel": "## `definitions`",
    "LifeModel": "### `ttl`\n\nA `ttl` that is one duration is that of `idle`.",
}
"""What stands above the fields of a part, where its name is not enough."""

RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("`message_count_based` needs `max_messages`", {"type": "message_count_based"}),
    ("`buffer` needs `max_tokens`, `max_messages` or `max_context_ratio`", {"type": "buffer"}),
    ("`buffer` takes no `flush`", {"type": "buffer", "max_messages": 5, "flush": {}}),
    ("`buffer` has no other `overflow` than `trim`", {"type": "buffer", "max_messages": 5, "overflow": "reject"}),
    ("`max_context_ratio` needs `model`", {"max_context_ratio": 0.5}),
    (
        "`max_context_ratio` and `max_tokens` exclude each other",
        {"model": "gpt-4o", "max_context_ratio": 0.5, "max_tokens": 1000},
    ),
    (
        "`model` and `encoding` exclude each other, unless the model's own vocabulary is not known",
        {"model": "gpt-4o", "encoding": "o200k_base"},
    ),
    ("a `model` is a known one, or one of `models`", {"model": "nobody-knows-it"}),
    ("`flush.target` is below `flush.threshold`", {"flush": {"threshold": 0.5, "target": 0.5}}),
    (
        "`flush.summary_tokens` is below `flush.target` of `max_tokens`",
        {"max_tokens": 100, "flush": {"summary_tokens": 50}},
    ),
    ("`token_allocation` names `system`, `long_term`, `short_term` and classes", {"token_allocation": {"other": 0.1}}),
    (
        "the shares of `token_allocation` add up to 1 at most",
        {"token_allocation": {"system": 0.6, "short_term": 0.5}},
    ),
    ("`flush.summariser` is `extractive` or one of `summarisers`", {"flush": {"summariser": "nobody"}}),
    ("names of `priority_blocks` differ", {"priority_blocks": [{"name": "a"}, {"name": "a"}]}),
    ("`locking.min_lease` is not above `locking.max_lease`", {"locking": {"min_lease": "2s", "max_lease": "1s"}}),
)
"""What a definition must keep to as a whole, each with one that does not; the tests see them refused."""


def reference() -> str:
    """Return the document."""
    example = f"```yaml\n{EXAMPLE.read_text()}```\n\n"
    rules = "".join(f"- {sentence}\n" for sentence, _ in RULES)
    return HEAD + example + FORMS + "".join(map(_section, _parts())) + f"## What must fit together\n\n{rules}"


def schema_text() -> str:
    """Return the schema as it is written."""
    return json.dumps(definitions_schema(), indent=2, ensure_ascii=False) + "\n"


def _parts() -> list[type[BaseModel]]:
    """Return the models, each once, in the order of a file."""
    return list(dict.fromkeys([DefinitionsFile, *(field.part for field in fields() if field.part is not None)]))


def _section(model: type[BaseModel]) -> str:
    mine = [field for field in fields() if field.owner is model]
    schema = definitions_schema()
    part = schema if model is DefinitionsFile else schema["$defs"][model.__name__.removesuffix("Model")]
    title = INTRODUCTIONS.get(model.__name__, f"### `{mine[0].path.rpartition('.')[0]}`")
    rows = "".join(_row(field, part["properties"][field.path.rpartition(".")[2]]) for field in mine)
    return f"{title}\n\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(field: Field, schema: dict[str, Any]) -> str:
    cells = (f"`{field.path}`", _type(field, schema), _default(schema), field.info.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(schema: dict[str, Any]) -> str:
    if "default" not in schema:
        return "needed"
    default = schema["default"]
    return "" if default in (None, "", [], {}) else f"`{default}`"


def _type(field: Field, schema: dict[str, Any]) -> str:
    """Return what a field may be, with its limits, in words."""
    if field.owner is DefinitionsFile and field.path == "defaults":
        return f"fields of [definitions](#{DefinitionModel.__name__.removesuffix('Model').lower()}s)"
    if all(variant in schema.get("anyOf", []) for variant in SIZE["anyOf"]):
        return "size"
    variants = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(map(_words, variants)))


def _words(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "fields, see below"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in dict.fromkeys(map(str, schema["enum"])))
    if is_duration(schema):
        return "duration"
    match schema["type"]:
        case "array":
            items = schema["items"]
            most = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
            return f"list{most}: {_words(items)}"
        case "object" if schema["additionalProperties"] is True:
            return "mapping"
        case "object":
            return f"by name: {_values(schema['additionalProperties'])}"
        case "string":
            return f"text, at most {schema['maxLength']} characters" if "maxLength" in schema else "text"
        case "integer" | "number" as kind:
            return _number(kind, schema)
        case "boolean":
            return "`true`, `false`"
    return "name"  # a text of which YAML may have made a number


def _values(schema: dict[str, Any]) -> str:
    return " or ".join(map(_words, schema.get("anyOf", [schema])))


def _number(kind: str, schema: dict[str, Any]) -> str:
    above, least, most = (schema.get(name) for name in ("exclusiveMinimum", "minimum", "maximum"))
    if least is not None and most is not None:
        return f"{kind}, {least:,} to {most:,}"
    if above is not None:
        return f"{kind}, above {above:g}, at most {most:g}"
    return kind
