"""The documents say what the code does."""

from __future__ import annotations

import re

import yaml

from sidecar.cli import cli
from sidecar.config.definition_models import DefinitionsFile
from tests.docs import README, commands_table, settings_table, with_tables


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    """The README's tables of commands and settings are what `python -m tests.docs` writes."""
    readme = README.read_text()
    assert commands_table() in readme
    assert settings_table() in readme
    assert with_tables(readme) == readme


def test_the_yaml_of_the_readme_is_a_valid_definitions_file() -> None:
    """A user who copies the example gets no error."""
    examples = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        DefinitionsFile.model_validate(yaml.safe_load(example))


def test_every_subcommand_and_path_that_the_readme_names_exists() -> None:
    """`memsidecar X` is a command, and `sidecar/…` is a file or folder."""
    readme = README.read_text()
    named = set(re.findall(r"`memsidecar ([a-z]+)", readme))
    assert named
    assert named <= set(cli.commands)
    for path in re.findall(r"`((?:sidecar|tests)/[\w/.]*)`", readme):
        assert (README.parent / path).exists(), path
