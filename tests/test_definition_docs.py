"""The documents about definitions say what the loader does: a user who follows them gets no error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config.definitions import load_definitions
from sidecar.errors import ConfigurationError
from tests.config.test_definition_files import EVERYTHING, MODELS
from tests.config.test_definitions import READ
from tests.definition_docs import EXAMPLE, REFERENCE, RULES, SCHEMA, reference, schema_text
from tests.definition_fields import fields
from tests.definition_schema import definitions_schema, duration
from tests.docs import README
from tests.e2e.definitions.effects import files
from tests.support.json_schema import misfits


def test_the_documents_are_those_of_the_code() -> None:
    """Reference and schema are what `python -m tests.docs` writes."""
    assert REFERENCE.read_text() == reference()
    assert SCHEMA.read_text() == schema_text()


def test_the_example_is_complete_and_right() -> None:
    """The loader takes the example, it has every field, and each is in the reference."""
    assert set(load_definitions(EXAMPLE).by_id) == {"chat", "scratchpad"}
    assert f"```yaml\n{EXAMPLE.read_text()}```" in REFERENCE.read_text()
    said = yaml.safe_load(EXAMPLE.read_text())
    assert [field.path for field in fields() if not _has(said, field.path)] == []
    assert [field.path for field in fields() if f"| `{field.path}` |" not in REFERENCE.read_text()] == []


def _has(file: dict[str, Any], path: str) -> bool:
    """Whether a file has a field, in one of its definitions where it is theirs."""
    named = [{part: each} for part in ("models", "summarisers") for each in file[part].values()]
    roots: list[Any] = [file, *file["definitions"], *named]
    return any(_within(root, path.split(".")) for root in roots)


def _within(value: Any, path: list[str]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return any(_within(each, path) for each in value)
    return isinstance(value, dict) and path[0] in value and _within(value[path[0]], path[1:])


@pytest.mark.parametrize(("sentence", "definition"), RULES, ids=[sentence for sentence, _ in RULES])
def test_what_must_fit_together(tmp_path: Path, sentence: str, definition: dict[str, Any]) -> None:
    """The loader refuses what breaks a rule of the reference, and nothing but the rule speaks against it."""
    path = tmp_path / "definitions.yaml"
    path.write_text(json.dumps({"definitions": [{"id": "a", **definition}]}))
    with pytest.raises(ConfigurationError) as refused:
        load_definitions(path)
    assert len(refused.value.problems) == 1
    assert misfits({"definitions": [{"id": "a", **definition}]}, definitions_schema()) == []


def test_every_field_of_the_schema_is_described() -> None:
    """An editor shows a title and a description for every field, and a default that may be written so."""
    schema = definitions_schema()
    parts = [schema, *schema["$defs"].values()]
    described = [(name, field) for part in parts for name, field in part["properties"].items()]
    assert len(described) > len(list(fields()))  # those of a definition are there twice: for `defaults` too
    assert [name for name, field in described if not (field.get("title") and field.get("description"))] == []
    for name, field in described:
        if "default" in field:
            assert misfits(field["default"], {**field, "$defs": schema["$defs"]}) == [], name


EXAMPLES = {
    "the example": EXAMPLE.read_text(),
    "the README": README.read_text().partition("```yaml\n")[2].partition("```")[0],
    "everything": EVERYTHING,
    "models": MODELS,
    **files(),
}


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_the_schema_takes_what_the_loader_takes(tmp_path: Path, text: str) -> None:
    """No file that is right is red in an editor."""
    path = tmp_path / "definitions.yaml"
    path.write_text(text)
    load_definitions(path)
    assert misfits(yaml.safe_load(text), definitions_schema()) == []


@pytest.mark.parametrize("definition", [fields for fields, _ in READ], ids=str)
def test_the_schema_takes_each_field(definition: dict[str, Any]) -> None:
    """Each form in which a field may be written is one of the schema, in a definition and among the defaults."""
    file = {"defaults": definition, "definitions": [{"id": "a", **definition}]}
    assert misfits(file, definitions_schema()) == []


WRONG: list[Any] = [
    [],
    {"id": ""},
    {"id": "a b"},
    {"id": "a", "max_token": 5},
    {"id": "a", "max_tokens": "many"},
    {"id": "a", "max_tokens": 0},
    {"id": "a", "type": "ring"},
    {"id": "a", "encoding": "p50k_base"},
    {"id": "a", "calibration": 0.5},
    {"id": "a", "ttl": 30},
    {"id": "a", "ttl": "soon"},
    {"id": "a", "ttl": {"idle": 30}},
    {"id": "a", "ttl": {"never": "1h"}},
    {"id": "a", "description": 5},
    {"id": "a", "mode": "rw"},
    {"id": "a", "flush": 5},
    {"id": "a", "flush": {"strategy": "dream"}},
    {"id": "a", "flush": {"threshold": 1.1}},
    {"id": "a", "priority_blocks": [{"roles": ["user"]}]},
    {"id": "a", "priority_blocks": [{"name": "a", "roles": ["boss"]}]},
    {"id": "a", "token_allocation": {"system": 2}},
    {"id": "a", "privacy": {"redact": ["names"]}},
    {"id": "a", "privacy": {"replacement": 'a"b'}},
    {"id": "a", "privacy": {"patterns": [{"name": "a"}]}},
    {"id": "a", "locking": {"wait": 5}},
    {"id": "a", "limits": {"message_bytes": "64K"}},
    {"id": "a", "limits": {"message_bytes": 0}},
    {"description": "without an id"},
]


@pytest.mark.parametrize("definition", WRONG, ids=str)
def test_the_schema_refuses_what_the_loader_refuses(tmp_path: Path, definition: Any) -> None:
    """A slip of the pen is red in an editor already."""
    file = {"definitions": [definition]}
    path = tmp_path / "definitions.yaml"
    path.write_text(json.dumps(file))
    with pytest.raises(ConfigurationError):
        load_definitions(path)
    assert misfits(file, definitions_schema())


RIGHT = {"definitions": [{"id": "a"}]}

WRONG_FILES: list[dict[str, Any]] = [
    {},
    {"definitions": []},
    {"definition": []},
    {**RIGHT, "strict": "perhaps"},
    {**RIGHT, "models": {"m": "big"}},
    {**RIGHT, "models": {"m": 0}},
    {**RIGHT, "models": {"m": {}}},
    {**RIGHT, "models": {"m": {"context": "big"}}},
    {**RIGHT, "defaults": []},
    {**RIGHT, "defaults": {"colour": "red"}},
    {**RIGHT, "defaults": {"ttl": 5}},
]


@pytest.mark.parametrize("file", WRONG_FILES, ids=str)
def test_the_schema_refuses_wrong_files(tmp_path: Path, file: dict[str, Any]) -> None:
    """What is wrong beside the definitions is red too."""
    path = tmp_path / "definitions.yaml"
    path.write_text(json.dumps(file))
    with pytest.raises(ConfigurationError):
        load_definitions(path)
    assert misfits(file, definitions_schema())


@pytest.mark.parametrize(("milliseconds", "text"), [(1, "1ms"), (1_500, "1500ms"), (60_000, "1m"), (86_400_000, "1d")])
def test_durations_of_defaults(milliseconds: int, text: str) -> None:
    """A default is shown in the largest unit in which it is whole."""
    assert duration(milliseconds) == text
