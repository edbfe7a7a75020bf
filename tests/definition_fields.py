"""Every field that a definitions file may have, walked from the models that read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sidecar.config.definition_models import DefinitionsFile


class Field(NamedTuple):
    """One field.

    Args:
        path: from the top of the file, and for a definition's own from the definition: `flush.target`.
        owner: the model that it is one of.
        info: what pydantic knows of it.
        part: the model of its own fields; None where it has none.
    """

    path: str
    owner: type[BaseModel]
    info: FieldInfo
    part: type[BaseModel] | None


def fields(model: type[BaseModel] = DefinitionsFile, prefix: str = "") -> Iterator[Field]:
    """Yield the fields of a model, each with those of its part behind it."""
    for name, info in model.model_fields.items():
        path, part = prefix + name, _part(info.annotation)
        yield Field(path, model, info, part)
        if part is not None:
            yield from fields(part, "" if path == "definitions" else f"{path}.")


def _part(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a type, in a list or mapping of it too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for each in get_args(annotation) if (part := _part(each)) is not None), None)
