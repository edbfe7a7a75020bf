"""The session in every state of a connection, as transcripts: logged in or not, MULTI, silence, RESP3."""

from __future__ import annotations

import pytest

from tests.session.results import HEALTH
from tests.support.transcripts import Client, command, fence, passed

HELLO_3 = b"%1\r\n$5\r\nproto\r\n:3\r\n"
HELLO_2 = b"*2\r\n$5\r\nproto\r\n:2\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"


class TestState:
    def test_not_authenticated(self, client: Client) -> None:
        """Where Redis refuses the fence, MEM commands get the same words, all until something is forwarded."""
        assert client.sends("MEMCLEAR a", "MEMHEALTH") == [b">" + fence(1)]
        assert client.redis(passed(1, echo=NOAUTH)) == [b"<" + NOAUTH * 2]
        assert client.sends("MEMCLEAR a") == [b"<" + NOAUTH]
        assert client.sends("AUTH x", "MEMCLEAR a") == [b">" + command("AUTH x") + fence(2)]
        assert client.redis(b"+OK\r\n" + passed(2)) == [b"<+OK\r\n", b">" + fence(3, ask=True)]
        assert client.redis(passed(3, hello=HELLO_2)) == ["run MEMCLEAR"]

    def test_the_refusal_names_our_command(self, client: Client) -> None:
        """Redis's words about ECHO become words about the MEM command."""
        client.sends("SUBSCRIBE c", "MEMCLEAR a")
        line = b"-ERR Can't execute 'echo': only PING is allowed in this context\r\n"
        push = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
        assert client.redis(push + passed(1, echo=line)) == [b"<" + push + line.replace(b"echo", b"memclear")]

    def test_in_a_transaction(self, client: Client) -> None:
        """Inside MULTI a MEM command is refused, the fence makes EXEC fail, and after it MEM commands run again."""
        refused = b"-ERR 'memclear' cannot be part of a transaction; send it before MULTI or after EXEC\r\n"
        assert client.sends("MULTI", "MEMCLEAR a") == [b">" + command("MULTI") + fence(1)]
        assert client.redis(b"+OK\r\n" + passed(1, echo=b"+QUEUED\r\n")) == [b"<+OK\r\n" + refused]
        assert client.sends("MEMCLEAR a") == [b"<" + refused]
        assert client.sends("EXEC", "MEMCLEAR a") == [b">" + command("EXEC") + fence(2)]
        assert client.redis(b"-EXECABORT no\r\n" + passed(2)) == [b"<-EXECABORT no\r\n", "run MEMCLEAR"]

    def test_one_reply_skipped(self, client: Client) -> None:
        """Behind CLIENT REPLY SKIP one MEM command runs without an answer; the next one is answered."""
        assert client.sends("CLIENT REPLY SKIP", "MEMCLEAR a", "MEMCLEAR b") == [
            b">" + command("CLIENT REPLY SKIP") + fence(1)
        ]
        assert client.redis(passed(1, echo=b"")) == ["run MEMCLEAR", "run MEMCLEAR"]
        assert client.done(0, 1) == []
        assert client.done(1, 2) == [b"<:2\r\n"]

    def test_a_skipped_error(self, client: Client) -> None:
        """SKIP covers the error of a MEM command, too."""
        client.sends("CLIENT REPLY SKIP", "MEMCLEAR", "MEMCLEAR")
        assert client.redis(passed(1, echo=b"")) == [b"<-ERR wrong number of arguments for 'memclear' command\r\n"]

    def test_a_skip_that_was_used_up(self, client: Client) -> None:
        """A forwarded command behind SKIP takes the silence, so the MEM command after it is answered."""
        client.sends("CLIENT REPLY SKIP", "GET a", "MEMCLEAR a")
        assert client.redis(passed(1)) == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n"]

    def test_replies_off(self, client: Client) -> None:
        """Under CLIENT REPLY OFF MEM commands run without an answer and without a fence; ON brings both back."""
        assert client.sends("CLIENT REPLY OFF", "MEMCLEAR a", "GET a", "MEMCLEAR b") == [b">" + fence(1)]
        assert client.redis(passed(1)) == [b">" + command("CLIENT REPLY OFF"), "run MEMCLEAR"]
        assert client.done(0, 1) == [b">" + command("GET a"), "run MEMCLEAR"]
        assert client.done(1, 1) == []
        assert client.sends("CLIENT REPLY OFF", "MEMCLEAR") == [b">" + command("CLIENT REPLY OFF")]
        assert client.sends("CLIENT REPLY ON", "MEMCLEAR a") == [b">" + command("CLIENT REPLY ON") + fence(2)]
        assert client.redis(b"+OK\r\n" + passed(2)) == [b"<+OK\r\n", "run MEMCLEAR"]
        assert client.done(2, 7) == [b"<:7\r\n"]

    @pytest.mark.parametrize("echo", [NOAUTH, b"+QUEUED\r\n"])
    def test_silence_that_redis_refused(self, client: Client, echo: bytes) -> None:
        """Who may not ask for silence is not taken for silent: the MEM commands behind it do not run."""
        assert client.sends("CLIENT REPLY OFF", "MEMCLEAR a") == [b">" + fence(1)]
        assert client.redis(passed(1, echo=echo)) == [b">" + command("CLIENT REPLY OFF") + fence(2)]
        steps = client.redis(NOAUTH + passed(2, echo=NOAUTH))
        assert steps == [b"<" + NOAUTH * 2]
        assert client.tickets == []

    def test_hello_does_not_end_silence(self, client: Client) -> None:
        """HELLO under CLIENT REPLY OFF changes the protocol and not the silence: no fence is waited for in vain."""
        client.sends("CLIENT REPLY OFF")
        client.redis(passed(1))
        assert client.sends("HELLO 3", "MEMCLEAR a") == [b">" + command("HELLO 3"), "run MEMCLEAR"]
        assert client.done(0, 1) == []
        assert client.sends("CLIENT REPLY ON", "MEMHEALTH") == [b">" + command("CLIENT REPLY ON") + fence(2)]
        assert client.redis(b"+OK\r\n" + passed(2)) == [b"<+OK\r\n", b">" + fence(3, ask=True)]
        assert client.redis(passed(3, hello=HELLO_3)) == ["run MEMHEALTH"]

    def test_reset_ends_silence(self, client: Client) -> None:
        """RESET answers again and logs out, so what comes behind it has to pass a fence."""
        client.sends("CLIENT REPLY OFF")
        client.redis(passed(1))
        assert client.sends("RESET", "MEMCLEAR a") == [b">" + command("RESET") + fence(2)]
        assert client.redis(b"+RESET\r\n" + passed(2, echo=NOAUTH)) == [b"<+RESET\r\n" + NOAUTH]

    def test_an_answer_that_is_not_known(self, client: Client) -> None:
        """Where ECHO is answered in an unknown way, that answer is the MEM command's, which does not run."""
        strange = b"-DENIED by a module\r\n"
        assert client.sends("MEMCLEAR a", "MEMCLEAR b", "GET c") == [b">" + fence(1)]
        assert client.redis(passed(1, echo=strange)) == [b"<" + strange, b">" + fence(2)]
        assert client.redis(passed(2)) == ["run MEMCLEAR"]
        assert client.done(0, 2) == [b"<:2\r\n", b">" + command("GET c")]

    def test_resp3(self, client: Client) -> None:
        """After HELLO the protocol is asked once, and replies are written in it."""
        assert client.sends("HELLO 3", "MEMHEALTH") == [b">" + command("HELLO 3") + fence(1)]
        assert client.redis(HELLO_3 + passed(1)) == [b"<" + HELLO_3, b">" + fence(2, ask=True)]
        assert client.redis(passed(2, hello=HELLO_3)) == ["run MEMHEALTH"]
        (reply,) = client.done(0, HEALTH)
        assert isinstance(reply, bytes)
        assert reply.startswith(b"<%6\r\n$7\r\nhealthy\r\n#t\r\n")
        assert client.sends("GET a", "MEMCLEAR a") == [b">" + command("GET a") + fence(3)]

    def test_a_hello_that_failed(self, client: Client) -> None:
        """The protocol is what Redis says, not what the client asked for."""
        client.sends("HELLO 3 AUTH a b", "MEMHEALTH")
        client.redis(b"-WRONGPASS no\r\n" + passed(1))
        assert client.redis(passed(2, hello=HELLO_2)) == ["run MEMHEALTH"]
        (reply,) = client.done(0, HEALTH)
        assert isinstance(reply, bytes)
        assert reply.startswith(b"<*12\r\n$7\r\nhealthy\r\n:1\r\n")

    def test_reset_ends_resp3(self, client: Client) -> None:
        """RESET leads back to RESP2, which is found out in the same way."""
        client.sends("HELLO 3", "MEMCLEAR a")
        client.redis(passed(1))
        client.redis(passed(2, hello=HELLO_3))
        client.done(0, 1)
        assert client.sends("RESET", "MEMHEALTH") == [b">" + command("RESET") + fence(3)]
        assert client.redis(b"+RESET\r\n" + passed(3)) == [b"<+RESET\r\n", b">" + fence(4, ask=True)]
        assert client.redis(passed(4, hello=HELLO_2)) == ["run MEMHEALTH"]
        (reply,) = client.done(0 + 1, HEALTH)
        assert isinstance(reply, bytes)
        assert reply.startswith(b"<*12\r\n")

    def test_a_server_without_hello(self, client: Client) -> None:
        """A server that does not know HELLO is asked once, and speaks what it spoke before."""
        client.sends("HELLO 3", "MEMCLEAR a", "MEMCLEAR b")
        unknown = b"-ERR unknown command 'HELLO', with args beginning with: \r\n"
        assert client.redis(unknown + passed(1)) == [b"<" + unknown, b">" + fence(2, ask=True)]
        assert client.redis(passed(2, hello=unknown)) == ["run MEMCLEAR", "run MEMCLEAR"]

    def test_refused_before_the_protocol_is_asked(self, client: Client) -> None:
        """Where MEM commands may not run, nobody asks for the protocol: errors read the same in both."""
        client.sends("HELLO 3", "MEMCLEAR a")
        assert client.redis(NOAUTH + passed(1, echo=NOAUTH)) == [b"<" + NOAUTH * 2]

    def test_skip_and_hello(self, client: Client) -> None:
        """A silent command needs no protocol; the next one that is answered does."""
        client.sends("HELLO 3", "CLIENT REPLY SKIP", "MEMCLEAR a", "MEMCLEAR b")
        assert client.redis(HELLO_3 + passed(1, echo=b"")) == [
            b"<" + HELLO_3,
            "run MEMCLEAR",
            b">" + fence(2, ask=True),
        ]
        assert client.redis(passed(2, hello=HELLO_3)) == ["run MEMCLEAR"]
        assert client.done(0, 1) == []
        assert client.done(1, 2) == [b"<:2\r\n"]
