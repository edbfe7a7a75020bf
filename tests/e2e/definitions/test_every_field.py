"""No field of a definitions file is without a test that shows its effect."""

from __future__ import annotations

from tests.definition_fields import fields
from tests.e2e.definitions.effects import modules, shown

OF_ONE_S_OWN = ("token_allocation.",)
"""Below these the names are the user's."""

SHARES = {"token_allocation.system", "token_allocation.long_term", "token_allocation.short_term"}
"""Names there that mean something else than a class."""


def test_every_field_has_a_test_that_shows_its_effect() -> None:
    """Each field without parts is what at least one test is about: an option that does nothing cannot stay."""
    tested = {path for module in modules() for path in shown(module)}
    wanted = {field.path for field in fields() if field.part is None} | SHARES
    assert sorted(wanted - tested) == []


def test_every_test_is_about_a_field_that_there_is() -> None:
    """A field that goes or is renamed takes its tests along."""
    known = {field.path for field in fields()}
    for module in modules():
        unknown = [path for path in shown(module) if path not in known and not path.startswith(OF_ONE_S_OWN)]
        assert unknown == [], module.__name__
