"""Plans: worked examples for each rule, then random histories against a model that tries every cut."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.memory.message import PROTECTED_ROLES, MessageFacts
from sidecar.memory.plan import STRATEGIES, IdRange, Limits, Plan, forced, make_plan

TEN = 10  # tokens of every message in the worked examples


def history(*lines: str) -> list[MessageFacts]:
    """Build facts from lines such as `user`, `assistant calls a b`, `tool answers a`, `user pinned`."""
    facts = []
    for number, line in enumerate(lines, start=1):
        role, *words = line.split()
        calls = tuple(words[1:]) if words[:1] == ["calls"] else ()
        answers = words[1] if words[:1] == ["answers"] else None
        facts.append(MessageFacts(f"{number}-0", role, TEN, calls, answers, pinned=words == ["pinned"]))
    return facts


def limits(tokens: int | None = None, messages: int | None = None, *, summary: int = 0, current: int = 0) -> Limits:
    return Limits(tokens, messages, summary, current)


def removed_ids(plan: Plan, facts: Sequence[MessageFacts]) -> list[str]:
    ids = [fact.id for fact in facts]
    return [id_ for part in plan.ranges for id_ in ids[ids.index(part.first) : ids.index(part.last) + 1]]


def gone(strategy: str, facts: Sequence[MessageFacts], wanted: Limits) -> str:
    """Return the numbers of the removed messages, such as `1 2 5`."""
    return " ".join(id_.removesuffix("-0") for id_ in removed_ids(make_plan(strategy, facts, wanted), facts))


class TestTargets:
    def test_fifo_stops_at_the_target_exactly(self) -> None:
        """fifo removes the oldest messages until the tokens equal the target, and not one more."""
        facts = history("user", "assistant", "user", "assistant")
        assert make_plan("fifo", facts, limits(20)) == Plan(
            "fifo", (IdRange("1-0", "2-0", 2, 20),), removed=2, freed_tokens=20, summarise=False, reached=True
        )
        assert gone("fifo", facts, limits(19)) == "1 2 3"

    def test_fifo_counts_the_present_summary(self) -> None:
        """The present summary stays under fifo, so its tokens weigh against the target."""
        assert gone("fifo", history("user", "assistant", "user"), limits(20, current=5)) == "1 2"

    def test_messages_are_a_limit_of_their_own(self) -> None:
        """The target of messages is met too, when the tokens are already within theirs."""
        facts = history("user", "assistant", "user", "assistant")
        assert gone("fifo", facts, limits(messages=3)) == "1"
        assert gone("fifo", facts, limits(1_000, 2)) == "1 2"
        assert gone("fifo", facts, limits(10, 3)) == "1 2 3"

    def test_hybrid_reserves_the_whole_budget_of_the_summary(self) -> None:
        """What remains plus the budget of the summary is within the target; it replaces the present one."""
        facts = history("user", "assistant", "user", "assistant", "user")
        plan = make_plan("hybrid_summary", facts, limits(40, summary=15, current=500))
        assert plan == Plan("hybrid_summary", (IdRange("1-0", "3-0", 3, 30),), 3, 30, summarise=True, reached=True)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_nothing_to_do(self, strategy: str) -> None:
        """A memory at its target, or an empty one, is left as it is, and no summary is asked for."""
        assert make_plan(strategy, history("user", "user"), limits(20, 2, summary=15)) == Plan(
            strategy, (), 0, 0, summarise=False, reached=True
        )
        assert make_plan(strategy, [], limits(0, 0)) == Plan(strategy, (), 0, 0, summarise=False, reached=True)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_without_any_limit_the_older_half_goes(self, strategy: str) -> None:
        """Without limits the older half of what may go is removed, by number, in whole units."""
        facts = history("system", "user", "assistant", "user", "assistant", "user")  # the last one stays
        assert gone(strategy, facts, limits()) == "2 3"
        assert gone(strategy, history("user", "user"), limits()) == "1"
        assert gone(strategy, history("user"), limits()) == ""
        paired = history("user", "assistant calls a b", "tool answers a", "tool answers b", "user", "user")
        assert gone(strategy, paired, limits()) == "1 2 3 4"

    def test_an_unknown_strategy_is_named(self) -> None:
        """An unknown strategy raises an error that names it and the known ones."""
        with pytest.raises(ValueError, match="'lru'; use one of: fifo, hybrid_summary"):
            make_plan("lru", [], limits())


class TestWhatStays:
    def test_instructions_and_pinned_messages(self) -> None:
        """Instructions and pinned messages stay, and split what goes into ranges with their own sums."""
        facts = history("system", "user", "user pinned", "assistant", "user", "developer", "user", "user")
        plan = make_plan("fifo", facts, limits(0))
        assert plan.ranges == (
            IdRange("2-0", "2-0", 1, 10),
            IdRange("4-0", "5-0", 2, 20),
            IdRange("7-0", "7-0", 1, 10),
        )
        assert not plan.reached

    def test_the_newest_unit(self) -> None:
        """The conversation is never emptied: the unit of the newest message that is no instruction stays."""
        assert gone("fifo", history("user", "user", "system"), limits(0)) == "1"
        assert gone("fifo", history("user", "assistant calls a", "tool answers a"), limits(0)) == "1"

    def test_a_pair_goes_or_stays_as_one(self) -> None:
        """A call and its results go together, although half of them would have been enough."""
        facts = history("assistant calls a b", "tool answers b", "tool answers a", "user", "user")
        assert gone("fifo", facts, limits(40)) == "1 2 3"

    def test_a_pair_around_other_messages(self) -> None:
        """A result that comes late goes with its call; what lies between goes in its own turn."""
        facts = history("assistant calls a", "user", "tool answers a", "user")
        assert gone("fifo", facts, limits(30)) == "1 3"
        assert gone("fifo", facts, limits(10)) == "1 2 3"

    def test_one_protected_message_keeps_its_unit(self) -> None:
        """A pinned result keeps its call and the other results."""
        facts = history("assistant calls a b", "tool answers a", "tool answers b", "user", "user")
        facts[2] = replace(facts[2], pinned=True)
        assert gone("fifo", facts, limits(0)) == "4"

    def test_a_pending_unit_stays(self) -> None:
        """A call that still waits for a result stays, with the results that it has."""
        waiting = history("user", "assistant calls a b", "tool answers a", "tool answers stray")
        assert gone("fifo", waiting, limits(0)) == "1"
        answered = history("user", "assistant calls a", "tool answers a", "tool answers stray")
        assert gone("fifo", answered, limits(0)) == "1 2 3"

    def test_an_abandoned_call_is_not_pending(self) -> None:
        """A call without a result goes, once the conversation has moved on."""
        assert gone("fifo", history("assistant calls a b", "tool answers a", "user"), limits(0)) == "1 2"

    def test_a_result_without_its_call(self) -> None:
        """A tool message whose call is not in the snapshot goes by itself."""
        assert gone("fifo", history("tool answers a", "tool", "user", "user"), limits(30)) == "1"

    def test_a_call_id_that_is_used_again(self) -> None:
        """A result belongs to the nearest call of its id before it, not to an earlier or later one."""
        facts = history("assistant calls a", "tool answers a", "assistant calls a", "tool answers a", "user")
        assert gone("fifo", facts, limits(30)) == "1 2"
        late = history("tool answers a", "user", "assistant calls a", "user")
        assert gone("fifo", late, limits(20)) == "1 2"


class TestForced:
    def test_a_small_memory_is_compacted_to_half(self) -> None:
        """FORCE below the target removes down to half of the present tokens, the summary within a quarter."""
        facts = history(*["user", "assistant"] * 10)
        wanted = forced(limits(64_000, summary=1_000), facts)
        assert wanted == limits(100, summary=50)
        plan = make_plan("hybrid_summary", facts, wanted)
        assert (plan.removed, plan.reached) == (15, True)

    def test_a_large_memory_keeps_its_target(self) -> None:
        """FORCE changes nothing where the target is the stricter one already and leaves the summary room."""
        facts = history(*["user"] * 20)
        assert forced(limits(60, 7, summary=30, current=9), facts) == limits(60, 7, summary=30, current=9)

    def test_a_limit_of_messages_only(self) -> None:
        """FORCE halves the tokens where only messages are limited."""
        assert forced(limits(None, 50, summary=400), history(*["user"] * 16)) == limits(80, 50, summary=40)

    def test_no_limits_at_all(self) -> None:
        """FORCE without any limit leaves the halving to the plan, and still bounds the summary."""
        assert forced(limits(summary=1_000, current=20), history(*["user"] * 18)) == limits(summary=50, current=20)

    def test_a_tiny_memory_leaves_room_for_a_fact(self) -> None:
        """The summary of a forced flush has room for one fact, however small the memory is."""
        facts = history("user", "assistant", "user")
        wanted = forced(limits(64_000, summary=1_000), facts)
        assert wanted == limits(15, summary=32)
        assert gone("hybrid_summary", facts, wanted) == "1 2"


CALL_IDS = st.sampled_from(["a", "b", "c"])
SIZES = st.integers(1, 40)
MESSAGES = st.one_of(
    st.tuples(st.sampled_from(["user", "assistant", "system", "developer"]), SIZES, st.just(()), st.none()),
    st.tuples(st.just("assistant"), SIZES, st.lists(CALL_IDS, min_size=1, max_size=3).map(tuple), st.none()),
    st.tuples(st.just("tool"), SIZES, st.just(()), st.one_of(CALL_IDS, st.just("stray"), st.none())),
)


@st.composite
def histories(draw: st.DrawFn) -> list[MessageFacts]:
    parts = draw(st.lists(st.tuples(MESSAGES, st.integers(0, 9)), max_size=30))
    return [
        MessageFacts(f"{5 * number}-{number % 3}", role, tokens, calls, answers, pinned=pin == 9)
        for number, ((role, tokens, calls, answers), pin) in enumerate(parts)
    ]


@st.composite
def some_limits(draw: st.DrawFn) -> Limits:
    target = st.one_of(st.none(), st.integers(0, 400))
    return Limits(draw(target), draw(st.one_of(st.none(), st.integers(0, 20))), draw(SIZES), draw(SIZES))


def units_by_search(facts: Sequence[MessageFacts]) -> list[set[int]]:
    """The model's units: each result looks back for the nearest call of its id. By the age of the call."""
    owner = {}
    for index, fact in enumerate(facts):
        callers = [i for i in range(index) if facts[i].role != "tool" and fact.answers in facts[i].calls]
        owner[index] = callers[-1] if fact.role == "tool" and callers else index
    return [{i for i in owner if owner[i] == first} for first in sorted(set(owner.values()))]


def may_go(unit: set[int], facts: Sequence[MessageFacts]) -> bool:
    if any(facts[i].pinned or facts[i].role in PROTECTED_ROLES for i in unit):
        return False
    talk = [i for i, fact in enumerate(facts) if fact.role not in PROTECTED_ROLES]
    first = min(unit)
    unanswered = set(facts[first].calls) - {facts[i].answers for i in unit}
    pending = bool(unanswered) and all(fact.role == "tool" for fact in facts[first + 1 :])
    return not pending and talk[-1] not in unit


def within(facts: Sequence[MessageFacts], gone_: set[int], wanted: Limits, strategy: str) -> bool:
    kept = [fact for i, fact in enumerate(facts) if i not in gone_]
    new_summary = strategy == "hybrid_summary" and gone_
    tokens = sum(fact.tokens for fact in kept)
    tokens += wanted.summary_tokens if new_summary else wanted.current_summary_tokens
    return (wanted.target_tokens is None or tokens <= wanted.target_tokens) and (
        wanted.target_messages is None or len(kept) <= wanted.target_messages
    )


def by_trial(strategy: str, facts: Sequence[MessageFacts], wanted: Limits) -> tuple[list[str], bool]:
    """The model: try to cut no unit, then the oldest one, then the two oldest …, until it will do."""
    units = [unit for unit in units_by_search(facts) if may_go(unit, facts)]
    unlimited = wanted.target_tokens is None and wanted.target_messages is None
    for many in range(len(units) + 1):
        cut = set[int]().union(*units[:many])
        enough = 2 * len(cut) >= sum(map(len, units)) if unlimited else within(facts, cut, wanted, strategy)
        if enough or many == len(units):
            return [facts[i].id for i in sorted(cut)], enough
    raise AssertionError("the loop ends with every unit cut")


class TestRandomHistories:
    @given(st.sampled_from(sorted(STRATEGIES)), histories(), some_limits())
    @example("fifo", history("assistant calls a a", "tool answers a"), limits(0))
    @example("hybrid_summary", history("user", "user"), limits(15, summary=40))
    def test_the_plan_is_the_smallest_cut_that_will_do(
        self, strategy: str, facts: list[MessageFacts], wanted: Limits
    ) -> None:
        """What is removed, and whether the target is reached, is what trying every cut gives."""
        plan = make_plan(strategy, facts, wanted)
        assert (removed_ids(plan, facts), plan.reached) == by_trial(strategy, facts, wanted)

    @given(st.sampled_from(sorted(STRATEGIES)), histories(), some_limits())
    def test_the_sums_are_exact(self, strategy: str, facts: list[MessageFacts], wanted: Limits) -> None:
        """Ranges ascend with a gap between them; their sums and the plan's are those of their messages."""
        plan = make_plan(strategy, facts, wanted)
        position = {fact.id: index for index, fact in enumerate(facts)}
        before = -2
        for part in plan.ranges:
            first, last = position[part.first], position[part.last]
            assert before + 1 < first <= last
            assert part.messages == last - first + 1
            assert part.tokens == sum(fact.tokens for fact in facts[first : last + 1])
            before = last
        assert plan.removed == sum(part.messages for part in plan.ranges)
        assert plan.freed_tokens == sum(part.tokens for part in plan.ranges)
        assert plan.summarise == (strategy == "hybrid_summary" and plan.removed > 0)

    @given(st.sampled_from(sorted(STRATEGIES)), histories(), some_limits())
    def test_what_stays_is_a_conversation(self, strategy: str, facts: list[MessageFacts], wanted: Limits) -> None:
        """Neither instructions nor pinned messages go, no unit is torn, the newest of the talk stays."""
        gone_ids = set(removed_ids(make_plan(strategy, facts, wanted), facts))
        assert not any(f.id in gone_ids for f in facts if f.pinned or f.role in PROTECTED_ROLES)
        for unit in units_by_search(facts):
            assert len({facts[index].id in gone_ids for index in unit}) == 1
        talk = [fact.id for fact in facts if fact.role not in PROTECTED_ROLES]
        assert not talk or talk[-1] not in gone_ids

    @given(st.sampled_from(sorted(STRATEGIES)), histories(), some_limits())
    def test_force_removes_whenever_something_may_go(
        self, strategy: str, facts: list[MessageFacts], wanted: Limits
    ) -> None:
        """A forced flush removes something if anything may go at all."""
        plan = make_plan(strategy, facts, forced(wanted, facts))
        assert bool(plan.removed) == any(may_go(unit, facts) for unit in units_by_search(facts))


def test_a_hundred_thousand_messages_plan_in_under_a_second() -> None:
    """Planning is not quadratic: 100,000 messages with pairs and pins take well under a second."""
    turn = ["user", "assistant calls a b", "tool answers a", "tool answers b", "assistant"]
    facts = history(*turn * 19_990, *["user pinned", "system"] * 25)
    assert len(facts) == 100_000
    begun = time.process_time()
    plan = make_plan("hybrid_summary", facts, limits(500_000, summary=1_000))
    assert time.process_time() - begun < 1.0
    assert plan.reached
