"""Reads YAML and remembers the line of every field, so that an error can say where it is.

PyYAML builds values and drops positions; here a document is composed to nodes first. Keys that are given twice, which
YAML forbids and PyYAML takes, are an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Where a value is: keys and places, from the top."""


@dataclass
class Document:
    """A YAML document.

    Args:
        value: what it says.
        lines: the line (from 1) of each field, by its path; of an item of a list, where it begins.
        twice: paths of keys that are given more than once.
    """

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    twice: list[Path] = field(default_factory=list)

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of a field, or of the innermost part of the path that there is."""
        at = tuple(path)
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def read(text: str) -> Document:
    """Read one document.

    Raises:
        yaml.YAMLError: it is none.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        document = Document(None)
        if node is not None:
            _note(document, node, ())  # first, because to construct a value carries out its merges
            document.value = loader.construct_document(node)
        return document
    finally:
        loader.dispose()


def _note(document: Document, node: yaml.Node, path: Path) -> None:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            if name == "<<":
                continue  # a merge: what it brings stands elsewhere
            if (*path, name) in document.lines:
                document.twice.append((*path, name))
            document.lines[(*path, name)] = key.start_mark.line + 1
            _note(document, value, (*path, name))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            _note(document, value, (*path, place))
