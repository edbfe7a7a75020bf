"""Writes the documents, parts of the README, and the dashboard, that follow from the code: `python -m tests.docs`.

`tests/test_docs.py` checks that they are what this would write.
"""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.commands.table import COMMANDS
from sidecar.config.settings import PREFIX, Settings
from tests.command_docs import commands_page
from tests.definition_docs import reference, schema_text
from tests.monitoring.dashboard import FILE as DASHBOARD
from tests.monitoring.dashboard import dashboard_text

README = Path(__file__).resolve().parents[1] / "README.md"
DOCS = README.parent / "docs"

_SETTINGS = re.compile(r"(<!-- settings: .*? -->\n).*?(<!-- end of settings -->)", re.DOTALL)
_COMMANDS = re.compile(r"(<!-- commands: .*? -->\n).*?(<!-- end of commands -->)", re.DOTALL)


def commands_table() -> str:
    """Return the commands as a Markdown table."""
    rows = ["| command | does |", "|---|---|"]
    for command in COMMANDS.values():
        syntax = f"{command.name} {command.syntax}".strip().replace("|", "\\|")
        rows.append(f"| `{syntax}` | {command.summary} |")
    return "\n".join(rows) + "\n"


def settings_table() -> str:
    """Return the settings as a Markdown table."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def with_tables(readme: str) -> str:
    """Return the README with its generated parts as they should be."""
    readme = _COMMANDS.sub(lambda found: found[1] + commands_table() + found[2], readme)
    return _SETTINGS.sub(lambda found: found[1] + settings_table() + found[2], readme)


def pages() -> dict[str, str]:
    """Return the generated files of docs/, by name."""
    return {
        "commands.md": commands_page(),
        "definitions.md": reference(),
        "definitions.schema.json": schema_text(),
    }


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
    for name, text in pages().items():
        (DOCS / name).write_text(text)
    DASHBOARD.write_text(dashboard_text())
