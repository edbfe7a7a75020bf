"""What was acknowledged, against what is there."""

from __future__ import annotations

import pytest

from benchmarks.peers.books import Account, audit

CASES = [
    (["a.0", "b.0", "a.1", "b.1"], Account(4, 4, 0, 0, 0, 0)),
    (["a.0", "b.0", "b.1"], Account(4, 3, 1, 0, 0, 0)),
    (["a.0", "a.0", "b.0", "a.1", "b.1", "a.0"], Account(4, 6, 0, 2, 0, 0)),
    (["a.1", "a.0", "b.0", "b.1"], Account(4, 4, 0, 0, 1, 0)),
    (["a.0", "b.0", "a.1", "b.1", "a.2"], Account(4, 5, 0, 0, 0, 1)),
    ([], Account(4, 0, 4, 0, 0, 0)),
]


@pytest.mark.parametrize(("marks", "account"), CASES)
def test_an_account_tells_each_fault_apart(marks: list[str], account: Account) -> None:
    """Lost, doubled, misplaced and unexpected messages are counted on their own, writers may interleave."""
    found = audit({"a": 2, "b": 2}, marks)
    assert found == account
    assert found.right is (marks == CASES[0][0])
