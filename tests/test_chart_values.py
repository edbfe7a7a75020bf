"""The values of the Helm charts are read as they are written, and the mistakes of whoever writes them are named."""

from __future__ import annotations

import json

import pytest

from tests.chart_schema import schema_text
from tests.chart_values import Value, camel_case, values, values_table, with_settings

TEXT = """\
# A manual.
image:
  # -- Where it is,
  # on two lines.
  repository: memsidecar
  # More of the manual, which is no meaning.

  # -- Its tag | digest.
  tag: ""
# -- Whatever `definitions` has.
definitions: {}
#  definitions: [{id: chat}]

# -- Settings.
settings: {}
  # settings: generated
  # old: 1
  # end of settings
"""


def test_each_value_has_its_meaning() -> None:
    """A meaning begins with `# --` and goes on to the key; other comments are for readers of the file only."""
    assert values(TEXT) == [
        Value("image.repository", "memsidecar", "Where it is, on two lines."),
        Value("image.tag", "", "Its tag | digest."),
        Value("definitions", {}, "Whatever `definitions` has."),
        Value("settings", {}, "Settings."),
    ]


def test_the_table_shows_them() -> None:
    """Empty defaults show as nothing, and a bar does not end a cell."""
    assert values_table(TEXT).splitlines()[2:4] == [
        "| `image.repository` | `memsidecar` | Where it is, on two lines. |",
        "| `image.tag` |  | Its tag \\| digest. |",
    ]


def test_only_the_marked_part_is_written_anew() -> None:
    """The settings' comments stand between their marks; writing them twice changes nothing."""
    written = with_settings(TEXT)
    assert "  # old: 1\n" not in written
    assert "  # maxClients: 10000\n" in written
    assert with_settings(written) == written
    assert written.startswith(TEXT.partition("  # old")[0])
    assert written.endswith("  # end of settings\n")


def test_a_value_without_a_meaning_is_refused() -> None:
    """Nobody adds a value and forgets to say what it does."""
    with pytest.raises(ValueError, match=r"^image.tag has no comment that begins with '# --'$"):
        values(TEXT.replace("# -- Its tag", "# Its tag"))


def test_a_value_that_no_rule_describes_is_refused() -> None:
    """A list or number needs a rule: its default does not say what it may be."""
    with pytest.raises(ValueError, match=r"^RULES does not say what surprise may be$"):
        schema_text(f"{TEXT}# -- A number.\nsurprise: 5\n", "memsidecar")


def test_a_schema_is_strict_all_the_way_down() -> None:
    """Maps of values take what values.yaml names and nothing else."""
    schema = json.loads(schema_text(TEXT, "memsidecar-lib"))
    assert schema["additionalProperties"] is False
    assert schema["properties"]["image"]["additionalProperties"] is False
    assert schema["properties"]["image"]["properties"].keys() == {"repository", "tag"}
    assert schema["properties"].keys() == {"global", "image", "definitions", "settings"}
    assert schema["$defs"]["Settings"]["additionalProperties"] is False
    assert schema["$defs"]["Settings"]["properties"]["maxClients"]["maximum"] == 1_000_000


@pytest.mark.parametrize(("name", "value"), [("project", "project"), ("flush_starts_per_s", "flushStartsPerS")])
def test_settings_are_named_in_camel_case(name: str, value: str) -> None:
    """As the charts turn them back into variables."""
    assert camel_case(name) == value
