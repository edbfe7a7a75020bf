"""The documents say what the code does."""

from __future__ import annotations

import re

import yaml

from sidecar.cli import cli
from sidecar.config.definition_models import DefinitionsFile
from tests.docs import DOCS, README, commands_table, pages, settings_table, with_tables


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    """The README's tables of commands and settings are what `python -m tests.docs` writes."""
    readme = README.read_text()
    assert commands_table() in readme
    assert settings_table() in readme
    assert with_tables(readme) == readme


def test_the_pages_are_those_of_the_code() -> None:
    """What is generated in docs/ is what `python -m tests.docs` writes."""
    assert [name for name, text in pages().items() if (DOCS / name).read_text() != text] == []


def test_links_lead_somewhere() -> None:
    """Every relative link of the documents names a file, and a heading where it names one."""
    root = README.parent
    for page in (README, *sorted(DOCS.glob("*.md")), *sorted(root.glob("benchmarks/*.md"))):
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), (page.name, target)
            assert not heading or heading[1:] in _headings(linked.read_text()), (page.name, target, heading)


def _headings(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


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
