"""The JSON schema of a definitions file, made of the models that read it: what an editor completes and checks by.

Of what a single field may be it knows all but a few limits. That fields must fit together only the loader knows.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from sidecar.config.definition_models import DefinitionModel, DefinitionsFile
from sidecar.config.durations import SCHEMA as DURATION
from tests.definition_fields import Field, fields

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def definitions_schema() -> dict[str, Any]:
    """Return the schema."""
    schema = DefinitionsFile.model_json_schema()
    for field in fields():
        _complete(_properties(schema, field.owner)[field.info.alias or field.path.rpartition(".")[2]], field)
    parts = schema.pop("$defs")
    whole = parts[DefinitionModel.__name__]
    # The fields of a definition, of which none is needed there.
    parts["DefaultsModel"] = {name: value for name, value in whole.items() if name != "required"}
    defaults = schema["properties"]["defaults"]
    defaults["anyOf"] = [{"$ref": "#/$defs/DefaultsModel"}, {"type": "null"}]
    parts = {_name(model): {**part, "title": _name(model)} for model, part in sorted(parts.items())}
    schema |= {"title": "Definitions of memsidecar's memories", "$defs": parts}
    whole_file: dict[str, Any] = _referring(schema)
    return {"$schema": DIALECT, **whole_file}


def shown_default(field: Field, schema: dict[str, Any]) -> Any:
    """Return the default of a field as one would write it."""
    default = field.info.default
    if isinstance(default, BaseModel):
        return {}
    return duration(default) if isinstance(default, int) and is_duration(schema) else default


def is_duration(schema: dict[str, Any]) -> bool:
    """Whether a field may be a duration."""
    variants = [schema, *schema.get("anyOf", [])]
    return any(variant.get("pattern") == DURATION["pattern"] for variant in variants)


def duration(milliseconds: int) -> str:
    """Return a duration in the largest unit in which it is a whole number."""
    unit, scale = next((unit, scale) for unit, scale in _UNITS if milliseconds % scale == 0)
    return f"{milliseconds // scale}{unit}"


def _properties(schema: dict[str, Any], owner: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = (schema if owner is DefinitionsFile else schema["$defs"][owner.__name__])["properties"]
    return found


def _complete(schema: dict[str, Any], field: Field) -> None:
    """Give a field the title that pydantic leaves out for parts, and a default that the field's own schema takes."""
    schema["title"] = field.path.rpartition(".")[2].replace("_", " ").capitalize()
    if not field.info.is_required():
        schema["default"] = shown_default(field, schema)


def _referring(value: Any) -> Any:
    """Take the word that our classes end with out of all references."""
    if isinstance(value, list):
        return [_referring(each) for each in value]
    if isinstance(value, dict):
        return {
            name: _name(each) if name == "$ref" and isinstance(each, str) else _referring(each)
            for name, each in value.items()
        }
    return value


def _name(model: str) -> str:
    return model.removesuffix("Model")
