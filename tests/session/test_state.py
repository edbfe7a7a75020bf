"""What is known of a connection, event by event: what is to be asked, and as whom the client may be taken."""

from __future__ import annotations

import pytest

from sidecar.resp.fence import Fence, Passed, Turn
from sidecar.resp.requests import Forward
from sidecar.resp.watched import Credentials, Hint, hint_of
from sidecar.session.state import MAX_CANDIDATES, ConnectionState, Need

A = Credentials(b"a", b"pa")
B = Credentials(b"b", b"pb")
FENCE = Fence(b"0", ask=False)
ASK = Fence(b"0", ask=True)


def forward(state: ConnectionState, line: str) -> None:
    """Forward a whole command."""
    words = line.encode().split()
    state.forwarded(Forward(line.encode(), hint_of(words), words))


def passes(state: ConnectionState, turn: Turn = Turn.RUN, *, user: bytes | None = None, protocol: int = 2) -> None:
    """Let a fence pass, and one that asks where that is wanted next."""
    assert state.need() is Need.FENCE
    state.fence_passed(FENCE, Passed(turn))
    if state.need() is Need.ASK:
        state.fence_passed(ASK, Passed(Turn.RUN, protocol=protocol, user=user))


def logged_in(*lines: str, user: bytes | None = None) -> ConnectionState:
    """Return the state after commands and a fence."""
    state = ConnectionState()
    for line in lines:
        forward(state, line)
    passes(state, user=user)
    return state


class TestNeeds:
    def test_the_first_command(self) -> None:
        """A new connection needs a fence and an identity, speaks RESP2 and is asked nothing."""
        state = ConnectionState()
        assert state.untouched
        assert state.need() is Need.FENCE
        state.fence_passed(FENCE, Passed(Turn.RUN))
        assert state.need() is Need.IDENTITY
        assert (state.candidates, state.user, state.protocol) == ((None,), None, 2)
        state.identified(None)
        assert state.need() is None

    @pytest.mark.parametrize("line", ["GET k", "MULTI", "EXEC", "CLIENT REPLY ON", "SUBSCRIBE c"])
    def test_what_changes_no_user(self, line: str) -> None:
        """After most commands a fence is all that is needed."""
        state = logged_in()
        state.identified(None)
        forward(state, line)
        assert state.need() is Need.FENCE
        state.fence_passed(FENCE, Passed(Turn.RUN))
        assert state.need() is None

    @pytest.mark.parametrize("line", ["AUTH x", "AUTH a x", "AUTH", "RESET", "HELLO 3 AUTH a x", "HELLO 3 AUTH a x NO"])
    def test_what_may_change_the_user(self, line: str) -> None:
        """After a login, also one that may have failed, everything is asked anew."""
        state = logged_in()
        state.identified(None)
        forward(state, line)
        assert state.need() is Need.FENCE
        state.fence_passed(FENCE, Passed(Turn.RUN))
        assert state.need() is Need.ASK
        state.fence_passed(ASK, Passed(Turn.RUN, protocol=3, user=b"a"))
        assert state.need() is Need.IDENTITY
        assert (state.user, state.protocol) == (b"a", 3)

    @pytest.mark.parametrize("line", ["HELLO", "HELLO 3", "HELLO 3 SETNAME n", "HELLO x", "HELLO 3 NO AUTH a x"])
    def test_hello_without_a_login(self, line: str) -> None:
        """HELLO alone is asked about, and changes no identity."""
        state = logged_in("AUTH a pa", user=b"a")
        state.identified(None)
        forward(state, line)
        passes(state, user=b"a", protocol=3)
        assert state.need() is None
        assert state.protocol == 3

    @pytest.mark.parametrize("turn", [Turn.REFUSED, Turn.IN_TRANSACTION, Turn.ANSWERED])
    def test_who_may_not_run_needs_no_identity(self, turn: Turn) -> None:
        """Nobody is identified for a command that is refused anyway."""
        state = ConnectionState()
        forward(state, "AUTH a pa")
        state.fence_passed(FENCE, Passed(turn))
        assert state.need() is None

    def test_a_login_in_a_transaction_is_asked_about_after_it(self) -> None:
        """What AUTH inside MULTI came to is asked only when EXEC has been sent."""
        state = logged_in("MULTI", "AUTH b pb")
        forward(state, "MULTI")
        forward(state, "AUTH a pa")
        passes(state, Turn.IN_TRANSACTION)
        assert state.need() is None
        forward(state, "EXEC")
        passes(state, user=b"a")
        assert state.need() is Need.IDENTITY
        assert (state.candidates[0], state.user) == (A, b"a")

    def test_silence_cannot_ask(self) -> None:
        """Under CLIENT REPLY OFF only the credentials can tell."""
        state = logged_in()
        state.identified(None)
        forward(state, "CLIENT REPLY OFF")
        assert state.need() is None
        forward(state, "AUTH a pa")
        assert state.need() is Need.IDENTITY
        assert (state.candidates, state.user) == ((A, None), None)

    def test_what_was_taken_in_silence_is_asked_afterwards(self) -> None:
        """Once Redis can name the user again and names another one, the identity is looked for anew."""
        state = logged_in("AUTH a pa", user=b"a")
        state.identified(None)
        for line in ("CLIENT REPLY OFF", "AUTH b pb"):
            forward(state, line)
        assert state.need() is Need.IDENTITY
        state.identified(None)  # as b
        forward(state, "CLIENT REPLY ON")
        passes(state, user=b"a")
        assert state.need() is Need.IDENTITY
        assert state.user == b"a"

    def test_silence_of_one_command(self) -> None:
        """Behind CLIENT REPLY SKIP the identity is needed at once, and what was not asked is asked for the next one."""
        state = ConnectionState()
        for line in ("AUTH a pa", "CLIENT REPLY SKIP"):
            forward(state, line)
        state.fence_passed(FENCE, Passed(Turn.SILENT))
        assert (state.silent, state.need()) == (True, Need.IDENTITY)
        state.identified(None)
        assert state.need() is None
        state.command_started()
        assert (state.silent, state.turn) == (False, Turn.RUN)
        assert state.need() is Need.ASK


class TestCandidates:
    @pytest.mark.parametrize(
        ("lines", "candidates"),
        [
            ([], (None,)),
            (["AUTH a pa"], (A, None)),
            (["AUTH pa"], (Credentials(b"default", b"pa"), None)),
            (["AUTH a pa", "AUTH b pb"], (B, A, None)),
            (["AUTH a pa", "AUTH b pb", "AUTH a pa"], (A, B, None)),
            (["AUTH a pa", "RESET"], (None, A)),
            (["AUTH a pa", "RESET", "RESET"], (None, A)),
            (["AUTH a pa", "RESET", "AUTH b pb"], (B, None, A)),
            (["AUTH a pa", "RESET all"], (A, None)),
            (["AUTH a pa", "HELLO 3"], (A, None)),
            (["HELLO 3 AUTH a pa SETNAME n"], (A, None)),
            (["EXEC now", "AUTH a pa"], (A, None)),
            (["AUTH a pa", "AUTH too many words"], (A, None)),
            (["CLIENT REPLY SKIP", "AUTH a pa"], (A, None)),
        ],
    )
    def test_newest_first(self, lines: list[str], candidates: tuple[Credentials | None, ...]) -> None:
        """Every login is a candidate, the newest first, each once; only a whole RESET makes "no login" the newest."""
        state = ConnectionState()
        for line in lines:
            forward(state, line)
        assert state.candidates == candidates

    def test_they_are_bounded(self) -> None:
        """The oldest logins are forgotten, "no login" among them."""
        state = ConnectionState()
        for number in range(MAX_CANDIDATES + 2):
            forward(state, f"AUTH u{number} p")
        assert [each.user for each in state.candidates if each] == [b"u5", b"u4", b"u3", b"u2"]

    @pytest.mark.parametrize(
        "lines",
        [
            ["HELLO 3 AUTH b pb NO"],
            ["HELLO 9 AUTH b pb"],
            ["HELLO 3 AUTH b pb AUTH c pc"],
            ["MULTI", "AUTH b pb", "DISCARD"],
            ["MULTI", "EXEC now", "HELLO 3 AUTH b pb", "DISCARD"],
        ],
    )
    def test_a_login_that_may_have_failed_with_good_credentials(self, lines: list[str]) -> None:
        """Where Redis may have refused a login for another reason, only its own word tells who the client is."""
        state = logged_in("AUTH a pa", *lines)
        assert (state.need(), state.candidates) == (Need.IDENTITY, ())
        forward(state, "AUTH a pa")
        passes(state, user=b"a")
        assert A in state.candidates
        for line in ("RESET", "AUTH a pa"):
            forward(state, line)
        passes(state)
        assert state.candidates[0] == A

    @pytest.mark.parametrize("hint", [Hint.LOGIN, Hint.PROTOCOL])
    def test_a_login_that_was_not_seen(self, hint: Hint) -> None:
        """After a login too long to be looked at only a user whom Redis names is somebody."""
        state = logged_in("AUTH a pa", user=b"a")
        state.identified(None)
        state.forwarded(Forward(b"*3\r\n$4\r\nAUTH\r\n", hint))
        passes(state, user=None)
        assert state.need() is Need.IDENTITY
        assert state.candidates == ()
        forward(state, "AUTH b wrong")
        passes(state, user=None)
        assert state.candidates == ()
        forward(state, "AUTH b pb")
        passes(state, user=b"a")
        assert A in state.candidates
        forward(state, "RESET")
        assert None in state.candidates


class TestProblems:
    def test_a_lasting_one(self) -> None:
        """A problem that lasts is the answer to every MEM command until something else is forwarded."""
        state = logged_in()
        state.identified("NOAUTH who", lasts=True)
        for _ in range(3):
            assert state.need() is None
            assert state.refusal_for("MEMREAD") == "NOAUTH who"
            state.command_started()
        forward(state, "GET k")
        passes(state)
        assert state.need() is Need.IDENTITY

    def test_a_passing_one(self) -> None:
        """A problem that may pass is the answer to one command; the next one asks again."""
        state = logged_in()
        state.identified("UNAVAILABLE now")
        assert state.need() is None
        assert state.refusal_for("MEMREAD") == "UNAVAILABLE now"
        state.command_started()
        assert state.need() is Need.IDENTITY
        state.identified(None)
        assert state.refusal_for("MEMREAD") is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("turn", "refusal", "line"),
        [
            (Turn.RUN, b"", None),
            (Turn.SILENT, b"", "ERR Redis has answered"),
            (Turn.ANSWERED, b"", "ERR Redis has answered"),
            (Turn.REFUSED, b"-NOAUTH Authentication required.", "NOAUTH Authentication required."),
            (Turn.REFUSED, b"-NOPERM the 'echo' command", "NOPERM the 'memread' command"),
            (Turn.REFUSED, b"-BUSY \xff", "BUSY \ufffd"),
        ],
    )
    def test_lines(self, turn: Turn, refusal: bytes, line: str | None) -> None:
        """Redis's refusal goes on with our command's name in it; silence that nobody asked for runs nothing."""
        state = ConnectionState()
        state.fence_passed(FENCE, Passed(turn, refusal))
        assert state.refusal_for("MEMREAD") == line

    def test_in_a_transaction(self) -> None:
        """The refusal names the command and says what to do."""
        state = ConnectionState()
        forward(state, "MULTI")
        assert state.perhaps_in_transaction
        state.fence_passed(FENCE, Passed(Turn.IN_TRANSACTION))
        assert state.perhaps_in_transaction
        assert (state.refusal_for("MEMREAD") or "").startswith("ERR 'memread' cannot be part of a transaction")
        forward(state, "DISCARD")
        assert not state.perhaps_in_transaction


class TestSilence:
    @pytest.mark.parametrize(
        ("lines", "off"),
        [
            (["CLIENT REPLY OFF"], True),
            (["CLIENT REPLY OFF", "CLIENT REPLY ON"], False),
            (["CLIENT REPLY OFF", "RESET"], False),
            (["CLIENT REPLY OFF", "RESET now"], True),
            (["CLIENT REPLY OFF", "HELLO 3"], True),
            (["CLIENT REPLY SKIP"], False),
        ],
    )
    def test_off(self, lines: list[str], off: bool) -> None:
        """Replies are off until they are switched on, or the connection is reset; a RESET with words resets nothing."""
        state = logged_in()
        for line in lines:
            forward(state, line)
        assert state.replies_off is off

    def test_not_before_the_turn_is_known(self) -> None:
        """A CLIENT REPLY OFF that Redis may have refused silences nothing."""
        state = ConnectionState()
        forward(state, "CLIENT REPLY OFF")
        assert not state.replies_off
