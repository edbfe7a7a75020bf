"""The template context of a connection, and the keys that are resolved in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.resolving import union
from sidecar.errors import TemplateProblem
from sidecar.memory.requests import ContextRequest
from sidecar.session.context import ConnectionContext
from tests.support.addressing import addressing

resolve = addressing().resolve
KEY = b"{{ user.id }}-{{ session.id }}"


def test_set_show_and_drop() -> None:
    """What was set is shown and replaced whole by the next one; CLEAR leaves nothing."""
    context = ConnectionContext(resolve)
    assert context.execute(ContextRequest()) == {}
    assert context.execute(ContextRequest({"user": {"id": "ann"}})) is None
    assert context.execute(ContextRequest()) == {"user": {"id": "ann"}}
    assert context.execute(ContextRequest({"session": {"id": "1"}})) is None
    assert context.execute(ContextRequest()) == {"session": {"id": "1"}}
    assert context.execute(ContextRequest(clear=True)) is None
    assert context.execute(ContextRequest()) == {}


def test_keys_are_resolved_in_it() -> None:
    """Templates see the connection's context and the command's together; the command's word counts."""
    context = ConnectionContext(resolve)
    with pytest.raises(TemplateProblem):
        context.resolve(KEY)
    context.execute(ContextRequest({"user": {"id": "ann"}, "session": {"id": "1"}}))
    assert context.resolve(KEY).instance == "ann-1"
    assert context.resolve(KEY, {"session": {"id": "2"}}).instance == "ann-2"
    assert context.resolve(KEY).instance == "ann-1"
    assert context.resolve(b"plain").instance == "plain"
    context.clear()
    with pytest.raises(TemplateProblem):
        context.resolve(KEY)


def test_two_connections() -> None:
    """Each has a context of its own."""
    first, second = ConnectionContext(resolve), ConnectionContext(resolve)
    first.execute(ContextRequest({"user": {"id": "ann"}}))
    assert second.execute(ContextRequest()) == {}
    with pytest.raises(TemplateProblem):
        second.resolve(b"{{ user.id }}")


CONTEXTS = st.dictionaries(
    st.sampled_from("ab"), st.integers(0, 3) | st.dictionaries(st.sampled_from("xy"), st.integers(0, 3)), max_size=2
)


@given(ours=CONTEXTS, theirs=CONTEXTS)
def test_any_two_contexts(ours: dict[str, object], theirs: dict[str, object]) -> None:
    """A command sees the union of both, and leaves the connection's as it was."""
    seen = []

    def noting(key: bytes, context: object = None, /) -> object:
        seen.append(context)
        return resolve(key)

    context = ConnectionContext(noting)  # type: ignore[arg-type] # it notes what it is asked
    context.execute(ContextRequest(ours))
    context.resolve(b"k", theirs)
    assert seen == [union(ours, theirs)]
    assert context.execute(ContextRequest()) == ours
