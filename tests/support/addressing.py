"""Addresses of memories for tests that need some and do not care how definitions are kept."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.memory.addressing import Addressing
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition
from sidecar.memory.keys import KeySpace
from sidecar.templates.engine import TemplateEngine

DEFAULT: Mapping[str, Definition] = {"default": Definition()}


def addressing(
    definitions: Mapping[str, Definition] = DEFAULT, space: KeySpace | None = None, *, strict: bool = False
) -> Addressing:
    """Return what resolves keys, as the sidecar makes it."""
    return Addressing(Catalogue(definitions, strict=strict), space or KeySpace(), TemplateEngine().render)
