"""The id of a memory's flush."""

from __future__ import annotations

from sidecar.flush.names import LONGEST_PLAIN_NAME, without_ids, workflow_id
from tests.flush.memories import SPACE


def test_a_name_is_shown_as_it_is() -> None:
    """The id names project, definition and instance."""
    assert workflow_id(SPACE.keys("chat", "user/1").name) == "memflush:default:chat:user/1"


def test_a_long_name_is_hashed() -> None:
    """A name over the limit becomes an id of fixed length that still is one memory's alone."""
    longest, longer = "a" * LONGEST_PLAIN_NAME, "a" * (LONGEST_PLAIN_NAME + 1)
    assert workflow_id(longest) == f"memflush:{longest}"
    assert workflow_id(longer) == "memflush:a92efd82109373e58f9a2056dee01e807e216ce6075f7051207c0a9f7d666e50"
    assert workflow_id(longer) != workflow_id(longer + "a")


def test_a_text_without_ids() -> None:
    """Whatever a name holds, none of it is left of an id within a text; the rest of the text stays."""
    for instance in ("ann@example.org", "Zoë Bell", 'a"b\\c', "x:{y}%", "z" * 500):
        name = workflow_id(SPACE.keys("chat", instance).name)
        assert without_ids(f"Workflow {name} is lost, {name} too") == "Workflow memflush:… is lost, memflush:… too"
    assert without_ids("nothing of the kind") == "nothing of the kind"
