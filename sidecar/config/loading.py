"""Reads the settings and the definitions that they name, and tells every mistake in both at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sidecar.config.definitions import Definitions, builtin_definitions, load_definitions
from sidecar.config.settings import PREFIX, Settings
from sidecar.errors import ConfigurationError
from sidecar.logs import Level


def load_settings(**overrides: Any) -> tuple[Settings, Definitions]:
    """Read settings and the definitions they name.

    Args:
        overrides: settings from the command line; None means not given.

    Raises:
        ConfigurationError: with every problem of both.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings(**_environment() | given)
        settings.redis_tls()
    except ValidationError as problem:
        for finding in problem.errors():
            name = str(finding["loc"][0])
            problems.append(f"{_source(name, given)}: {finding['msg'].removeprefix('Value error, ')}")
    except ConfigurationError as problem:
        for line in problem.problems:
            name, _, text = line.partition(": ")
            problems.append(f"{_source(name, given)}: {text}")
    definitions = builtin_definitions()
    try:
        # Also when other settings are wrong, so that all problems are shown at once.
        definitions = _definitions(settings.definitions if settings else _named_definitions(given))
    except ConfigurationError as problem:
        problems += problem.problems
    if problems or settings is None:
        raise ConfigurationError(problems)
    return settings, definitions


def _environment() -> dict[str, str]:
    """Return the settings that the environment has, in whatever case their names are."""
    names = {f"{PREFIX}{name}".upper(): name for name in Settings.model_fields}
    return {names[name.upper()]: value for name, value in os.environ.items() if name.upper() in names}


def read_definitions(settings: Settings) -> Definitions:
    """Read the definitions that the settings name.

    Raises:
        ConfigurationError: with every problem of them.
    """
    return _definitions(settings.definitions)


def log_level(settings: Settings, definitions: Definitions) -> Level:
    """Return the level that the logs are to have: that of the definitions, which can change, where they have one."""
    return definitions.log_level or settings.log_level


def _definitions(paths: str | None) -> Definitions:
    if paths is None:
        return builtin_definitions()
    return load_definitions([Path(path) for path in paths.split(os.pathsep) if path])


def _source(name: str, given: dict[str, Any]) -> str:
    """Return where a setting comes from, in the words of its user."""
    return f"--{name.replace('_', '-')}" if name in given else f"{PREFIX}{name.upper()}"


def _named_definitions(given: dict[str, Any]) -> str | None:
    named = given.get("definitions") or os.environ.get(f"{PREFIX}DEFINITIONS")
    return str(named) if named else None
