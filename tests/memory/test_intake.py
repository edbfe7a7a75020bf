"""What becomes of messages before they are stored: refused, dropped, redacted, classed, weighed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands.messages import from_fields, read_json
from sidecar.errors import BadMessage, PrivacyFailed
from sidecar.memory.definition import Definition, PriorityBlock, PrivacyPolicy
from sidecar.memory.intake import Intake
from sidecar.memory.message import Message, count_message
from sidecar.memory.stored_message import StoredMessage
from sidecar.privacy.redaction import Redactor
from tests.commands.conversations import conversations

HI = Message("user", "hi")


def intake(**definition: Any) -> Intake:
    made = Definition("chat", **definition)
    return Intake(made, Redactor(made.privacy, rebuild=from_fields) if made.privacy.redacts else None)


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "messages", "words"),
        [
            ({"max_request_messages": 2}, [HI] * 3, "a request to 'chat' may have 2 messages, this one has 3"),
            ({"max_message_bytes": 3}, [HI, Message("user", "\xe9\xe9")], "message 2 has 4 bytes, and 'chat' takes 3"),
            ({"max_message_bytes": 3}, [Message("user", "a", "{ }")], "message 1 has 4 bytes, and 'chat' takes 3"),
            ({"max_request_bytes": 5}, [HI] * 3, "the messages have 6 bytes, and 'chat' takes 5 in one request"),
        ],
    )
    def test_above(self, limits: Mapping[str, int], messages: list[Message], words: str) -> None:
        """More than a limit is BADMESSAGE, with what there was and what there may be, in bytes of UTF-8."""
        with pytest.raises(BadMessage, match=words):
            intake(**limits).admit(messages)

    def test_just_as_much(self) -> None:
        """What is exactly at every limit is taken."""
        messages = [Message("user", "\xe9", "{}"), Message("user", "hi", "{}")]
        limited = intake(max_request_messages=2, max_message_bytes=4, max_request_bytes=8)
        assert limited.admit(messages).messages == messages

    def test_what_is_dropped_counts(self) -> None:
        """A limit is on what the client sends, not on what is kept of it."""
        with pytest.raises(BadMessage):
            intake(max_request_messages=1, privacy=PrivacyPolicy(do_not_persist=("user",))).admit([HI, HI])


class TestPrivacy:
    def test_roles_that_are_not_kept(self) -> None:
        """Messages of these roles go, the others stay in order; all may go."""
        dropping = intake(privacy=PrivacyPolicy(do_not_persist=("tool", "system")))
        messages = [Message(role, role) for role in ("system", "user", "tool", "assistant")]
        assert [message.role for message in dropping.admit(messages).messages] == ["user", "assistant"]
        assert dropping.admit([messages[0]]) == ([], {})

    def test_redaction(self) -> None:
        """What the policy finds is taken out before it is weighed, and told by its kind."""
        redacting = intake(privacy=PrivacyPolicy(redact=("email",)))
        admitted = redacting.admit([Message("user", "ann@example.com and bob@example.com"), HI])
        assert [message.content for message in admitted.messages] == ["[email] and [email]", "hi"]
        assert admitted.redacted == {"email": 2}

    def test_without_a_policy(self) -> None:
        """Nothing is looked at; the very messages come back."""
        messages = [HI]
        assert intake().admit(messages) == (messages, {})

    @settings(max_examples=40, deadline=None)
    @given(written=conversations())
    def test_a_policy_that_finds_nothing(self, written: list[StoredMessage]) -> None:
        """Whatever is written, what no pattern fits is stored as it came; arguments too deep to search are refused."""
        messages = [Message(message.role, message.content, message.fields or "") for message in written]
        searching = intake(privacy=PrivacyPolicy(redact=("iban",)))
        try:
            admitted = searching.admit(list(messages))
        except PrivacyFailed as problem:
            deep = str(problem)
        else:
            deep = ""
        if deep:
            assert "nested more than" in deep
        elif not admitted.redacted:
            assert admitted.messages == messages


RULES = PriorityBlock("rules", "critical", keywords=("Always", "never"))
FACTS = PriorityBlock("facts", keywords=("parcel",))
SAID = PriorityBlock("said", "normal", roles=("user", "assistant"))


class TestClasses:
    @pytest.mark.parametrize(
        ("message", "mark"),
        [
            (Message("user", "ALWAYS be kind"), " !rules"),
            (Message("tool", "never a parcel"), " !rules"),
            (Message("tool", "the Parcel left"), " facts"),
            (Message("user", "the parcel left"), " facts"),
            (Message("user", "hello"), " said"),
            (Message("tool", "hello"), ""),
            (Message("assistant", "", '{"tool_calls":[]}', counted=("find_parcel",)), " facts"),
            (Message("tool", "STRASSE"), ""),
        ],
    )
    def test_first_match_wins(self, message: Message, mark: str) -> None:
        """A message is of the first block that it fits, by role and by a word in any of its texts; or of none."""
        assert intake(priority_blocks=(RULES, FACTS, SAID)).weigh([message], len) == [f"{_weight(message)}{mark}"]

    def test_role_and_word(self) -> None:
        """A block with both wants both, and upper and lower case are alike in every script."""
        both = intake(priority_blocks=(PriorityBlock("x", roles=("user",), keywords=("straße",)),))
        messages = [Message("user", "STRASSE"), Message("tool", "straße"), HI]
        assert [str(weight).partition(" ")[2] for weight in both.weigh(messages, len)] == ["x", "", ""]

    def test_without_blocks(self) -> None:
        """The weights are numbers."""
        assert intake().weigh([HI, Message("user", "")], len) == [3 + 4 + 2, 3 + 4]


def _weight(message: Message) -> int:
    return count_message(message, Definition(), len)


def test_weights_are_those_of_the_definition() -> None:
    """Overhead, estimates for parts and calibration are the definition's."""
    message = read_json(
        b'{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":""}]}', 1
    )
    dear = intake(per_message_overhead=5, image_tokens=100, calibration=1.5)
    assert dear.weigh([message], len) == [(5 + 4 + 2 + 100) * 3 // 2 + 1]


@given(st.lists(st.sampled_from(["system", "user", "tool", "assistant"])), st.sets(st.sampled_from(["user", "tool"])))
def test_what_stays(roles: list[str], dropped: set[str]) -> None:
    """Exactly the messages of dropped roles go."""
    messages = [Message(role, str(place)) for place, role in enumerate(roles)]
    kept = intake(privacy=PrivacyPolicy(do_not_persist=tuple(dropped))).admit(messages).messages
    assert kept == [message for message in messages if message.role not in dropped]
