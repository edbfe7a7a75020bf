"""The order of each strategy by an example; over random histories it is compared with a model in `test_plan`."""

from __future__ import annotations

from dataclasses import replace

from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import Limits, Shortened, make_plan
from sidecar.memory.strategies import STRATEGIES
from tests.memory.test_plan import gone, history, limits


def order(strategy: str, facts: list[MessageFacts], priorities: dict[str, str] | None = None) -> list[list[int]]:
    """Return the units in the order that they go, each message a unit of its own unless tools are called."""
    units: dict[int, list[int]] = {}
    for index, fact in enumerate(facts):
        callers = [i for i in range(index) if fact.answers in facts[i].calls]
        units.setdefault(callers[-1] if callers else index, []).append(index)
    return STRATEGIES[strategy].order(facts, list(units.values()), priorities or {})


def test_oldest_first() -> None:
    """fifo, hybrid_summary and tool_trim go by age, whatever has been read."""
    facts = [replace(fact, read_ms=100 - at) for at, fact in enumerate(history("user", "user", "user"))]
    for strategy in ("fifo", "hybrid_summary", "tool_trim"):
        assert order(strategy, facts) == [[0], [1], [2]]


def test_lru_goes_by_the_last_read() -> None:
    """What was read goes after what was not, and the latest read last."""
    first, second, third, fourth = history("user", "user", "user", "user")
    facts = [replace(first, read_ms=90), replace(second, read_ms=80), third, fourth]
    assert order("lru", facts) == [[2], [3], [1], [0]]


def test_lru_takes_the_time_of_writing_where_nothing_was_read() -> None:
    """A message that no read returned counts as used when it was written, equals by their age."""
    facts = [MessageFacts("7-1", "user", 1), MessageFacts("7-2", "user", 1), MessageFacts("9-0", "user", 1)]
    assert order("lru", [replace(facts[0], read_ms=8), *facts[1:]]) == [[1], [0], [2]]
    assert order("lru", facts) == [[0], [1], [2]]


def test_lru_looks_at_the_whole_unit() -> None:
    """A call was used when any of its results was read."""
    facts = history("assistant calls a", "tool answers a", "user", "user")
    facts[1] = replace(facts[1], read_ms=50)
    assert order("lru", facts) == [[2], [3], [0, 1]]


def test_token_aware_lru_weighs_by_tokens() -> None:
    """Tokens times time since the last use decide: a large message goes before a small one that is a little staler."""
    facts = [
        MessageFacts("100-0", "user", 5),  # 901 ms, 4,505
        MessageFacts("200-0", "user", 90),  # 801 ms, 72,090
        MessageFacts("800-0", "user", 40),  # 201 ms, 8,040
        MessageFacts("1000-0", "user", 3_000),  # 1 ms, 3,000
    ]
    assert order("token_aware_lru", facts) == [[1], [2], [0], [3]]
    facts[1] = replace(facts[1], read_ms=990)  # 11 ms, 990
    assert order("token_aware_lru", facts) == [[2], [0], [3], [1]]


def test_token_aware_lru_takes_equals_by_age() -> None:
    """Of messages of one size and time the older one goes first."""
    facts = [MessageFacts(f"5-{number}", "user", 3) for number in range(3)]
    assert order("token_aware_lru", facts) == [[0], [1], [2]]
    assert order("token_aware_lru", []) == []


def test_priority() -> None:
    """Low goes first, then tool calls with their results, then what has no class, then high; critical stays."""
    facts = history("user", "user", "assistant calls a", "tool answers a", "user", "user", "tool answers lost")
    for index, kind in enumerate(("facts", "talk", "", "", "chatter", "orders")):
        facts[index] = replace(facts[index], kind=kind)
    priorities = {"facts": "high", "talk": "normal", "chatter": "low", "orders": "critical"}
    assert order("priority", facts, priorities) == [[4], [2, 3], [6], [1], [0]]


def test_a_unit_has_the_highest_priority_of_its_messages() -> None:
    """A result of a class keeps its call, and a class can make tool results go first."""
    facts = history("user", "assistant calls a", "tool answers a", "assistant calls b", "tool answers b")
    facts[2] = replace(facts[2], kind="steps")
    assert order("priority", facts, {"steps": "high"}) == [[3, 4], [0], [1, 2]]
    assert order("priority", facts, {"steps": "low"}) == [[1, 2], [3, 4], [0]]
    assert order("priority", facts, {"steps": "normal"}) == [[1, 2], [3, 4], [0]]
    facts[1] = replace(facts[1], kind="plans")
    assert order("priority", facts, {"steps": "low", "plans": "high"}) == [[3, 4], [0], [1, 2]]


def test_a_critical_message_stays_although_nothing_else_may_go() -> None:
    """The target is not reached by way of a critical message that was stored before its class was one."""
    facts = [replace(fact, kind="orders") for fact in history("user", "user", "user")]
    plan = make_plan("priority", facts, Limits(0, None, 0, 0, priorities={"orders": "critical"}))
    assert (plan.removed, plan.reached) == (0, False)


def test_tool_trim() -> None:
    """Old results are shortened, oldest first, and nothing goes where that is enough."""
    facts = history("user", *["assistant calls a", "tool answers a"] * 3, "user")
    facts = [replace(fact, tokens=200, text_bytes=700) if fact.role == "tool" else fact for fact in facts]
    plan = make_plan("tool_trim", facts, limits(400))  # of 650
    assert plan.shortened == (Shortened("3-0", 200, 64), Shortened("5-0", 200, 64))
    assert (plan.removed, plan.freed_tokens, plan.shortened_tokens, plan.reached) == (0, 0, 272, True)
    assert gone("tool_trim", facts, limits(100)) == "1 2 3 4 5"


def test_what_tool_trim_does_not_shorten() -> None:
    """Pinned and short results stay as they are, and those without text, of the newest and of the pending call."""
    facts = history("assistant calls a", *["tool answers a"] * 4, "user", "assistant calls b c", "tool answers b")
    facts = [replace(fact, tokens=200, text_bytes=700) if fact.role == "tool" else fact for fact in facts]
    facts[1] = replace(facts[1], pinned=True)
    facts[2] = replace(facts[2], text_bytes=0)
    facts[3] = replace(facts[3], tokens=64)
    plan = make_plan("tool_trim", facts, limits(0))
    assert [each.id for each in plan.shortened] == ["5-0"]


def test_the_example_of_the_documentation() -> None:
    """docs/strategies.md says what each strategy takes of its example."""
    facts = history("user", "assistant calls a", "tool answers a", "assistant", "user", "user")
    facts[0] = replace(facts[0], kind="facts")
    facts[2] = replace(facts[2], tokens=200, text_bytes=700)
    facts[3] = replace(facts[3], read_ms=7)
    facts[4] = replace(facts[4], kind="chatter")
    wanted = Limits(240, None, 120, 0, 64, {"facts": "high", "chatter": "low"})
    taken = {strategy: gone(strategy, facts, wanted) for strategy in STRATEGIES}
    assert taken == {
        "fifo": "1",
        "hybrid_summary": "1 2 3",
        "lru": "1",
        "token_aware_lru": "2 3",
        "priority": "5",
        "tool_trim": "",
    }
