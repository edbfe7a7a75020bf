"""Settings, and the definitions that they name; what is wrong with either is in `test_settings`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.loading import load_settings, log_level


def test_the_definitions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The definitions come from the file that the setting names, by variable or option."""
    file = tmp_path / "memories.yaml"
    file.write_text("strict: true\ndefinitions: [{id: chat}]")
    settings, definitions = load_settings(definitions=file)
    assert settings.definitions == str(file)
    assert (list(definitions.by_id), definitions.strict) == (["chat"], True)
    monkeypatch.setenv("MEMSIDECAR_DEFINITIONS", str(file))
    assert list(load_settings()[1].by_id) == ["chat"]


def test_the_level_of_the_logs(tmp_path: Path) -> None:
    """While the definitions name a level it wins over the setting; without one the setting holds."""
    file = tmp_path / "memories.yaml"
    for line, level in (("log_level: error\n", "error"), ("", "debug")):
        file.write_text(f"{line}definitions: [{{id: chat}}]")
        assert log_level(*load_settings(definitions=file, log_level="debug")) == level
