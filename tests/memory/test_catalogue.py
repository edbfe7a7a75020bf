"""The definitions in force, and how others take their place."""

from __future__ import annotations

import pytest

from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition

CHAT, DEFAULT = Definition("chat"), Definition()


def test_definitions_by_id() -> None:
    """It is a mapping of what it was given, and no one else's dictionary."""
    given = {"chat": CHAT, "default": DEFAULT}
    catalogue = Catalogue(given)
    given.clear()
    assert dict(catalogue) == {"chat": CHAT, "default": DEFAULT}
    assert catalogue["chat"] is CHAT
    assert catalogue.get("nope") is None
    with pytest.raises(KeyError):
        catalogue["nope"]


@pytest.mark.parametrize(
    ("given", "strict", "fallback"),
    [
        ({"chat": CHAT, "default": DEFAULT}, False, DEFAULT),
        ({"chat": CHAT, "default": DEFAULT}, True, None),
        ({"chat": CHAT}, False, None),
    ],
)
def test_what_takes_other_keys(given: dict[str, Definition], strict: bool, fallback: Definition | None) -> None:
    """`default` takes the keys that name no definition, where there is one and the configuration is not strict."""
    assert Catalogue(given, strict=strict).fallback is fallback


def test_a_replacement_is_noticed() -> None:
    """Whoever holds the catalogue sees the new definitions at once; whoever holds what it held keeps the old ones."""
    catalogue = Catalogue({"chat": CHAT, "default": DEFAULT})
    held = catalogue.by_id
    newer = Definition("chat", max_tokens=5)
    catalogue.replace({"chat": newer}, strict=True)
    assert catalogue["chat"] is newer
    assert (list(catalogue), len(catalogue), catalogue.fallback) == (["chat"], 1, None)
    assert catalogue.by_id is not held
    assert held == {"chat": CHAT, "default": DEFAULT}


def test_summarisers_are_replaced_in_place() -> None:
    """The flush holds the mapping of summarisers, and sees those of the new definitions in it."""
    catalogue = Catalogue({"chat": CHAT}, summarisers={"old": ExtractiveSummariser()})
    held = catalogue.summarisers
    assert list(held) == ["old"]
    catalogue.replace({"chat": CHAT}, strict=True, summarisers={"new": ExtractiveSummariser()})
    assert list(held) == ["new"]
    catalogue.replace({"chat": CHAT}, strict=True)
    assert list(held) == []
