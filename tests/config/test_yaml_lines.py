"""Lines of fields, and keys that are given twice."""

from __future__ import annotations

import pytest
import yaml

from sidecar.config.yaml_lines import read

TEXT = """\
# a comment
a: 1
b:
  - c: 2
    d: {e: 3,
        f: 4}
  - 5
"""


def test_values() -> None:
    """The value is what PyYAML reads."""
    assert read(TEXT).value == yaml.safe_load(TEXT)
    assert read("").value is None
    assert read("5").value == 5


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("a",), 2),
        (("b",), 3),
        (("b", 0), 4),
        (("b", 0, "d"), 5),
        (("b", 0, "d", "f"), 6),
        (("b", 1), 7),
        (("b", 9), 3),
        (("b", 0, "nothing", "deeper"), 4),
        (("nothing",), 2),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    """A field has the line of its key, an item where it begins, what is missing that of what it is missing in."""
    assert read(TEXT).line(path) == line


def test_twice() -> None:
    """A key that is given twice is found, at any depth; a merge is none."""
    assert read("a: {b: 1, b: 2}\na: 3").twice == [("a", "b"), ("a",)]
    assert read("x: &x {b: 1}\ny: {<<: *x, b: 2}").twice == []


def test_no_yaml() -> None:
    """What is no YAML, or asks for Python objects, is an error."""
    for text in ("a: [", "!!python/object:os.system {}", "a: b: c"):
        with pytest.raises(yaml.YAMLError):
            read(text)
