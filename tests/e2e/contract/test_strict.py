"""`strict`: what is no memory of a definition."""

from __future__ import annotations

from pathlib import Path

from sidecar.commands.table import COMMANDS
from tests.e2e.contract.refusing import CHANGING
from tests.e2e.contract.speaking import Speaker
from tests.support.children import StartSidecar

ARGUMENTS = {**CHANGING, "MEMFORK": "chat:1"}
"""What commands need behind their key."""


def test_a_strict_sidecar_knows_only_its_definitions(
    redis_url: str, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """Under `strict`, a key of no definition is NOMEMORY for every command that takes one, templates included."""
    path = tmp_path / "definitions.yaml"
    path.write_text('{"strict": true, "definitions": [{"id": "chat"}]}')
    speaker = Speaker(sidecar_process(redis_url=redis_url, definitions=path).port, 3)
    for command in COMMANDS.values():
        if "NOMEMORY" in command.errors and command.keys:
            line = f"{command.name} other:1 {ARGUMENTS.get(command.name, '')}".strip()
            assert str(speaker.line(line)).startswith(
                "Refusal(line=\"NOMEMORY no memory definition for key 'other:1'; "
            ), line
    assert speaker.ask("MEMREAD", "{{ user }}:1", "CONTEXT", '{"user":"ann"}').line.startswith("NOMEMORY ")
    assert speaker.ask("MEMREAD", "{{ user }}:1", "CONTEXT", '{"user":"chat"}', "FORMAT", "OPENAI") == "[]"
    assert speaker.ask("MEMDEFS") == ["chat"]
    speaker.close()
