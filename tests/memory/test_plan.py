"""Plans: worked examples for each rule, then random histories against a model that tries every cut."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.memory.message import PROTECTED_ROLES, MessageFacts
from sidecar.memory.plan import STRATEGIES, IdRange, Limits, Plan, Shortened, forced, make_plan

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

    @pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"priority", "token_aware_lru"}))
    def test_without_any_limit_the_older_half_goes(self, strategy: str) -> None:
        """Without limits the older half of what may go is removed, by number, in whole units."""
        facts = history("system", "user", "assistant", "user", "assistant", "user")  # the last one stays
        assert gone(strategy, facts, limits()) == "2 3"
        assert gone(strategy, history("user", "user"), limits()) == "1"
        assert gone(strategy, history("user"), limits()) == ""
        paired = history("user", "assistant calls a b", "tool answers a", "tool answers b", "user", "user")
        assert gone(strategy, paired, limits()) == "1 2 3 4"

    @pytest.mark.parametrize("strategy", ["priority", "token_aware_lru"])
    def test_without_any_limit_half_goes_in_the_order_of_the_strategy(self, strategy: str) -> None:
        """Without limits, half goes also where it is not the older one: large units, or those of tools."""
        facts = history("user", "assistant calls a b", "tool answers a", "tool answers b", "user", "user")
        assert gone(strategy, facts, limits()) == "2 3 4"

    def test_an_unknown_strategy_is_named(self) -> None:
        """An unknown strategy raises an error that names it and the known ones."""
        with pytest.raises(ValueError, match="'lifo'; use one of: fifo, hybrid_summary, lru, priority"):
            make_plan("lifo", [], limits())


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
        """A result belongs to the nearest call of its id before it that is not over, not to an earlier or later one."""
        facts = history("assistant calls a", "tool answers a", "assistant calls a", "tool answers a", "user")
        assert gone("fifo", facts, limits(30)) == "1 2"
        over = history("assistant calls a", "tool answers a", "user", "tool answers a", "user")
        assert gone("fifo", over, limits(30)) == "1 2"
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


PRIORITIES = {"chatter": "low", "talk": "normal", "facts": "high", "orders": "critical"}
KINDS = st.sampled_from(["", "", "chatter", "talk", "facts", "orders", "of an earlier definition"])
READS = st.one_of(st.none(), st.integers(0, 200))


@st.composite
def histories(draw: st.DrawFn) -> list[MessageFacts]:
    parts = draw(st.lists(st.tuples(MESSAGES, st.integers(0, 9), KINDS, st.integers(0, 2), READS), max_size=30))
    return [
        MessageFacts(f"{5 * number}-{number % 3}", role, tokens, calls, answers, pin == 9, kind, text_bytes, read_ms)
        for number, ((role, tokens, calls, answers), pin, kind, text_bytes, read_ms) in enumerate(parts)
    ]


@st.composite
def some_limits(draw: st.DrawFn) -> Limits:
    target = st.one_of(st.none(), st.integers(0, 400))
    messages = st.one_of(st.none(), st.integers(0, 20))
    return Limits(draw(target), draw(messages), draw(SIZES), draw(SIZES), draw(st.integers(1, 40)), PRIORITIES)


def units_by_search(facts: Sequence[MessageFacts]) -> list[set[int]]:
    """The model's units: each result looks back for the nearest call of its id. By the age of the call.

    A call whose unit had all its results when another message followed them takes no more.
    """
    owner: dict[int, int] = {}
    for index, fact in enumerate(facts):
        owner[index] = index
        callers = [i for i in range(index) if facts[i].role != "tool" and fact.answers in facts[i].calls]
        if fact.role == "tool" and callers and not is_over(facts, callers[-1], index, owner):
            owner[index] = callers[-1]
    return [{i for i in owner if owner[i] == first} for first in sorted(set(owner.values()))]


def is_over(facts: Sequence[MessageFacts], caller: int, index: int, owner: dict[int, int]) -> bool:
    answered: set[str | None] = set()
    for between in range(caller + 1, index):
        if facts[between].role != "tool" and answered.issuperset(facts[caller].calls):
            return True
        if owner[between] == caller:
            answered.add(facts[between].answers)
    return False


def may_go(unit: set[int], facts: Sequence[MessageFacts]) -> bool:
    if any(facts[i].pinned or facts[i].role in PROTECTED_ROLES for i in unit):
        return False
    return not is_current(unit, facts)


def is_current(unit: set[int], facts: Sequence[MessageFacts]) -> bool:
    """Whether it is the newest unit of the talk, or one whose results are still to come."""
    talk = [i for i, fact in enumerate(facts) if fact.role not in PROTECTED_ROLES]
    first = min(unit)
    unanswered = set(facts[first].calls) - {facts[i].answers for i in unit}
    pending = facts[first].role != "tool" and bool(unanswered) and all(f.role == "tool" for f in facts[first + 1 :])
    return pending or talk[-1] in unit


def within(facts: Sequence[MessageFacts], gone_: set[int], wanted: Limits, strategy: str) -> bool:
    short = {
        shorter.id: shorter.tokens - shorter.most_tokens for shorter in shortened_by_trial(strategy, facts, wanted)
    }
    kept = [fact for i, fact in enumerate(facts) if i not in gone_]
    new_summary = strategy == "hybrid_summary" and gone_
    tokens = sum(fact.tokens - short.get(fact.id, 0) for fact in kept)
    tokens += wanted.summary_tokens if new_summary else wanted.current_summary_tokens
    return (wanted.target_tokens is None or tokens <= wanted.target_tokens) and (
        wanted.target_messages is None or len(kept) <= wanted.target_messages
    )


def in_its_turn(strategy: str, facts: Sequence[MessageFacts], wanted: Limits) -> list[set[int]]:
    """The model's order: again and again, what is worth least of what is left."""
    units = [unit for unit in units_by_search(facts) if may_go(unit, facts)]
    if strategy == "priority":
        units = [unit for unit in units if worth(strategy, unit, facts, wanted) < CRITICAL]
    order = []
    while units:
        # `min` takes the first of equals, and the units stand in the order of their age.
        order.append(min(units, key=lambda unit: worth(strategy, unit, facts, wanted)))
        units.remove(order[-1])
    return order


CRITICAL = 4


def worth(strategy: str, unit: set[int], facts: Sequence[MessageFacts], wanted: Limits) -> int:
    if strategy == "lru":
        return max(used_ms(facts[index]) for index in unit)
    if strategy == "token_aware_lru":
        unused = 1 + max(map(used_ms, facts)) - max(used_ms(facts[index]) for index in unit)
        return -unused * sum(facts[index].tokens for index in unit)
    if strategy == "priority":
        said = {wanted.priorities.get(facts[index].kind) for index in unit}
        tools = any(facts[index].calls or facts[index].role == "tool" for index in unit)
        ranks = ("low", None, None, "high", "critical")
        classes = [rank for rank, name in enumerate(ranks) if name is not None and name in said]
        return max(classes, default=1 if tools else 2)
    return 0


def used_ms(fact: MessageFacts) -> int:
    return int(fact.id.split("-")[0]) if fact.read_ms is None else fact.read_ms


def shortened_by_trial(strategy: str, facts: Sequence[MessageFacts], wanted: Limits) -> list[Shortened]:
    """The model: shorten no result, then the oldest one, then the two oldest …, until that will do."""
    if strategy != "tool_trim" or wanted.target_tokens is None:
        return []
    roles = [fact.role for fact in facts]
    units = [unit for unit in units_by_search(facts) if any(roles[i] not in PROTECTED_ROLES for i in unit)]
    still = {i for unit in units if is_current(unit, facts) for i in unit}
    long = [
        Shortened(fact.id, fact.tokens, wanted.tool_result_tokens)
        for i, fact in enumerate(facts)
        if fact.role == "tool" and fact.text_bytes and not fact.pinned and i not in still
        if fact.tokens > wanted.tool_result_tokens
    ]
    total = sum(fact.tokens for fact in facts) + wanted.current_summary_tokens
    for many in range(len(long) + 1):
        if total - sum(each.tokens - each.most_tokens for each in long[:many]) <= wanted.target_tokens:
            return long[:many]
    return long


def by_trial(strategy: str, facts: Sequence[MessageFacts], wanted: Limits) -> tuple[list[str], bool]:
    """The model: try to cut no unit, then the one that is worth least, then two …, until it will do."""
    units = in_its_turn(strategy, facts, wanted)
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
        """What is removed, in the strategy's order, and whether that is enough, is what trying every cut gives."""
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

    @given(histories(), some_limits())
    @example([*history("tool answers a", "user"), MessageFacts("3-0", "user", TEN)], limits(20))
    def test_tool_trim_shortens_before_anything_goes(self, facts: list[MessageFacts], wanted: Limits) -> None:
        """Old results are shortened until the target is reached; what goes then is not called shortened as well."""
        plan = make_plan("tool_trim", facts, wanted)
        shorter = shortened_by_trial("tool_trim", facts, wanted)
        removed = set(removed_ids(plan, facts))
        assert plan.shortened == tuple(each for each in shorter if each.id not in removed)
        assert plan.shortened_tokens == sum(each.tokens - each.most_tokens for each in plan.shortened)

    @given(st.sampled_from(sorted(set(STRATEGIES) - {"tool_trim"})), histories(), some_limits())
    def test_only_tool_trim_shortens(self, strategy: str, facts: list[MessageFacts], wanted: Limits) -> None:
        """Every other strategy leaves what stays as it is."""
        plan = make_plan(strategy, facts, wanted)
        assert (plan.shortened, plan.shortened_tokens) == ((), 0)

    @given(histories(), some_limits())
    def test_token_aware_lru_removes_no_more_units_than_lru(self, facts: list[MessageFacts], wanted: Limits) -> None:
        """For the same target of tokens, weighing by tokens takes at most as many units as going by time alone."""
        wanted = replace(wanted, target_tokens=wanted.target_tokens or 0, target_messages=None)
        taken = {}
        for strategy in ("lru", "token_aware_lru"):
            removed = set(removed_ids(make_plan(strategy, facts, wanted), facts))
            taken[strategy] = sum(facts[min(unit)].id in removed for unit in units_by_search(facts))
        assert taken["token_aware_lru"] <= taken["lru"]

    @given(st.sampled_from(sorted(STRATEGIES)), histories(), some_limits())
    def test_a_plan_is_reached_unless_nothing_more_may_go(
        self, strategy: str, facts: list[MessageFacts], wanted: Limits
    ) -> None:
        """`reached` is what the sums say, and where it is False all that may go has gone."""
        plan = make_plan(strategy, facts, wanted)
        left = sum(fact.tokens for fact in facts) - plan.freed_tokens - plan.shortened_tokens
        left += wanted.summary_tokens if plan.summarise else wanted.current_summary_tokens
        tokens_fit = wanted.target_tokens is None or left <= wanted.target_tokens
        messages_fit = wanted.target_messages is None or len(facts) - plan.removed <= wanted.target_messages
        if wanted.target_tokens is not None or wanted.target_messages is not None:
            assert plan.reached == (tokens_fit and messages_fit)
        if not plan.reached:
            assert plan.removed == sum(map(len, in_its_turn(strategy, facts, wanted)))

    @given(st.sampled_from(sorted(STRATEGIES)), histories(), some_limits())
    def test_a_plan_follows_from_the_facts(self, strategy: str, facts: list[MessageFacts], wanted: Limits) -> None:
        """The same facts and limits give the same plan; facts are not changed."""
        before = list(facts)
        assert make_plan(strategy, facts, wanted) == make_plan(strategy, list(facts), wanted)
        assert facts == before

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
        """A forced flush removes or shortens something if anything may go at all."""
        plan = make_plan(strategy, facts, forced(wanted, facts))
        assert bool(plan.removed or plan.shortened) == bool(in_its_turn(strategy, facts, wanted))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_hundred_thousand_messages_plan_in_under_a_second(strategy: str) -> None:
    """Planning is not quadratic: 100,000 messages with pairs and pins take well under a second."""
    turn = ["user", "assistant calls a b", "tool answers a", "tool answers b", "assistant"]
    facts = history(*turn * 19_990, *["user pinned", "system"] * 25)
    assert len(facts) == 100_000
    begun = time.process_time()
    plan = make_plan(strategy, facts, limits(500_000, summary=1_000))
    assert time.process_time() - begun < 1.0
    assert plan.reached
