"""Reads memory definitions from YAML files, and reports everything that is wrong with them at once, each with its line.

strict: false
log_level: info
models: {my-model: {context: 32768, calibration: 1.15}}
summarisers: {brief: {kind: openai, options: {model: gpt-4o-mini}}}
defaults: {ttl: 30d}
definitions:
  - id: chat
    model: gpt-4o
    max_context_ratio: 0.25
    flush: {strategy: hybrid_summary, threshold: 0.8, target: 0.5}

Several files are read as if they were one. What may be in them is in `definition_models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sidecar.config.definition_models import DefinitionModel, DefinitionsFile, ModelModel, SummariserModel
from sidecar.config.finding import Finding
from sidecar.config.summarisers import BadOption, make_summariser
from sidecar.config.yaml_lines import Document, read
from sidecar.errors import ConfigurationError
from sidecar.logs import Level
from sidecar.memory.definition import DEFAULT_DEFINITION, EXTRACTIVE, Definition
from sidecar.memory.ports import Summariser
from sidecar.tokens.contexts import Model, known_model

SUFFIXES = (".yaml", ".yml")
"""Files of a folder that are read."""

WITHHELD = "is wrong; `memsidecar check` says why, as that may quote a value"
"""Stands in a log in place of what is wrong with a field."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """The memory definitions in force, by id, and the summarisers that they name, but for the built-in one.

    `log_level` is for the processes that read them; None leaves it to their settings.
    """

    by_id: dict[str, Definition]
    strict: bool = False
    summarisers: Mapping[str, Summariser] = field(default_factory=dict)
    log_level: Level | None = None


@dataclass(slots=True)
class _File:
    """One file, and what is wrong with it."""

    path: Path
    document: Document
    problems: list[Finding]

    def complain(self, location: Sequence[str | int], text: str, *, quotes: bool = True) -> None:
        """Note a problem as `file:line: definition 'chat', field: text`.

        Args:
            location: of the field.
            text: what is wrong.
            quotes: whether the text may quote a value, which must not get into a log.
        """
        where: list[str] = []
        line, rest = self.document.line(location), list(location)
        if len(rest) > 1 and rest[0] == "definitions" and isinstance(rest[1], int):
            where.append(self._name(rest[1]))
            rest = rest[2:]
        if rest:
            where.append(".".join(map(str, rest)))
        place = ": ".join([f"{self.path}:{line}", *([", ".join(where)] if where else [])])
        self.problems.append(Finding(f"{place}: {text}", f"{place}: {WITHHELD if quotes else text}"))

    def _name(self, place: int) -> str:
        value = self.document.value
        entry = value["definitions"][place] if isinstance(value, dict) else None
        name = entry.get("id") if isinstance(entry, dict) else None
        return f"definition '{name}'" if name else f"definition number {place + 1}"


def builtin_definitions() -> Definitions:
    """Return what holds without a file: the one definition `default`."""
    return Definitions({DEFAULT_DEFINITION: Definition()})


def load_definitions(paths: Path | Sequence[Path]) -> Definitions:
    """Read files. Where none defines `default` and none is strict, the built-in one is added.

    Args:
        paths: files, or folders whose `SUFFIXES` are read in the order of their names.

    Raises:
        ConfigurationError: with every problem of all files.
    """
    problems: list[str] = []
    files = [file for path in _files(paths, problems) if (file := _read(path, problems)) is not None]
    parsed = [(file, model) for file in files if (model := _parsed(file, files)) is not None]
    strict = _once(files, parsed, "strict")
    log_level = _once(files, parsed, "log_level")
    _once(files, parsed, "defaults")
    models = {name: _model(each) for name, each in (_once(files, parsed, "models") or {}).items()}
    summarisers = _summarisers(parsed, _once(files, parsed, "summarisers") or {})
    by_id = _by_id(parsed, models)
    _check_summarisers(parsed, summarisers.keys())
    for file in files:
        problems += file.problems
    if problems:
        raise ConfigurationError(problems)
    if not strict:
        by_id.setdefault(DEFAULT_DEFINITION, Definition())
    made = {name: each for name, each in summarisers.items() if each is not None}
    return Definitions(by_id, bool(strict), made, log_level)


def _files(paths: Path | Sequence[Path], problems: list[str]) -> Iterable[Path]:
    for path in [paths] if isinstance(paths, Path) else paths:
        if not path.is_dir():
            yield path
            continue
        try:
            inside = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
        except OSError as problem:
            problems.append(f"{path}: cannot be read: {problem}")
            continue
        if not inside:
            problems.append(f"{path}: holds no {' or '.join(SUFFIXES)} file")
        yield from inside


def _read(path: Path, problems: list[str]) -> _File | None:
    try:
        document = read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        problems.append(f"{path}: cannot be read: {problem}")
        return None
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else f"{path}"
        problems.append(Finding(f"{path}: is not YAML: {problem}", f"{place}: is not YAML"))
        return None
    file = _File(path, document, [])
    for twice in document.twice:
        file.complain(twice, "is given more than once", quotes=False)
    return file


def _parsed(file: _File, files: Sequence[_File]) -> DefinitionsFile | None:
    """Return what a file says, with the defaults of whichever file has them under its definitions."""
    value = file.document.value
    defaults = next((found for each in files if (found := _defaults(each)) is not None), {})
    definitions = value.get("definitions") if isinstance(value, dict) else None
    if defaults and isinstance(value, dict) and isinstance(definitions, list):
        merged = [_with_defaults(defaults, each) if isinstance(each, dict) else each for each in definitions]
        value = {**value, "definitions": merged}
    try:
        return DefinitionsFile.model_validate(value)
    except ValidationError as problem:
        for finding in problem.errors():
            # Pydantic's own texts say what it wants; those of our checks, and of tags, what it got.
            quotes = finding["type"] in ("value_error", "assertion_error") or "tag" in finding["type"]
            file.complain(_location(finding["loc"], value), _text(finding), quotes=quotes)
        return None


def _defaults(file: _File) -> Mapping[str, Any] | None:
    value = file.document.value
    found = value.get("defaults") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else None


def _with_defaults(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition over the defaults, without those that what it says itself excludes."""
    excluded: set[str] = set()
    if own.get("type") == "buffer":
        excluded |= {"flush", "overflow"}
    if "max_context_ratio" in own:
        excluded.add("max_tokens")
    if "max_tokens" in own:
        excluded.add("max_context_ratio")
    return _merged({name: value for name, value in defaults.items() if name not in excluded}, own)


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a definition over the defaults, part by part."""
    merged = dict(defaults)
    for name, value in own.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _location(location: Iterable[str | int], value: Any) -> list[str | int]:
    """Return pydantic's location as far as it is one of the file: it also names the variants of a type."""
    path: list[str | int] = []
    for step in location:
        if isinstance(value, dict):
            if step not in value and path and isinstance(step, str) and (step[:1].isupper() or "[" in step):
                continue
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        elif path and value is not None:
            continue
        path.append(step)
    return path


def _text(finding: Any) -> str:
    if finding["type"] == "extra_forbidden":
        return "there is no such field"
    if finding["type"] == "missing":
        return "is missing"
    text: str = finding["msg"]
    return text.removeprefix("Value error, ")


def _once(files: Sequence[_File], parsed: Sequence[tuple[_File, DefinitionsFile]], field: str) -> Any:
    """Return a field that holds for all files, and may stand in one of them only."""
    found: Any = None
    first: _File | None = None
    for file, model in parsed:
        value = getattr(model, field)
        if value is None:
            continue
        if first is not None:
            line = first.document.line((field,))
            text = f"stands in {first.path}:{line} too; it holds for all files, so give it once"
            file.complain((field,), text, quotes=False)
            continue
        found, first = value, file
    return found


def _model(model: ModelModel) -> Model:
    return Model(model.context, model.encoding, model.calibration)


def _summarisers(
    parsed: Sequence[tuple[_File, DefinitionsFile]], models: Mapping[str, SummariserModel]
) -> dict[str, Summariser | None]:
    """Return the summarisers by name; None for one that cannot be made, about which its file complains."""
    file = next((file for file, model in parsed if model.summarisers is not None), None)
    made: dict[str, Summariser | None] = {}
    for name, model in models.items():
        assert file is not None
        made[name] = None
        if name == EXTRACTIVE:
            file.complain(("summarisers", name), "is built in; give this one another name")
            continue
        try:
            made[name] = make_summariser(model.kind, model.options)
        except BadOption as problem:
            file.complain(("summarisers", name, "options", *problem.path), str(problem))
        except ValueError as problem:
            file.complain(("summarisers", name, "kind"), str(problem))
    return made


def _check_summarisers(parsed: Sequence[tuple[_File, DefinitionsFile]], names: Iterable[str]) -> None:
    known = [EXTRACTIVE, *names]
    for file, model in parsed:
        for place, definition in enumerate(model.definitions):
            asked = definition.flush.summariser
            if asked not in known:
                where = ("definitions", place, "flush", "summariser")
                file.complain(where, f"there is no summariser '{asked}'; use one of {', '.join(known)}")


def _by_id(parsed: Sequence[tuple[_File, DefinitionsFile]], models: Mapping[str, Model]) -> dict[str, Definition]:
    by_id: dict[str, Definition] = {}
    places: dict[str, str] = {}
    for file, model in parsed:
        for place, definition in enumerate(model.definitions):
            location = ("definitions", place, "id")
            if definition.id in places:
                file.complain(location, f"is defined in {places[definition.id]} too", quotes=False)
                continue
            places[definition.id] = f"{file.path}:{file.document.line(location)}"
            try:
                by_id[definition.id] = definition.to_domain(_known(definition, models))
            except ValueError as problem:
                file.complain(("definitions", place), str(problem))
    return by_id


def _known(definition: DefinitionModel, models: Mapping[str, Model]) -> dict[str, Model]:
    """Return what is known of the model that a definition names.

    Raises:
        UnknownModel: nothing is.
    """
    name = definition.model
    if name is None:
        return {}
    return {name: models[name] if name in models else known_model(name)}
