"""As whom MEM commands run, as transcripts: when a session asks, with what, and what it does with the answer."""

from __future__ import annotations

import pytest

from sidecar.errors import NotIdentified, TooManyIdentities, Unavailable
from sidecar.resp.watched import MAX_LOGIN_WORD_BYTES, Credentials
from tests.support.transcripts import Client, command, fence, passed

HELLO = b"*2\r\n$5\r\nproto\r\n:2\r\n"
OK = b"+OK\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"
A = Credentials(b"a", b"pa")
B = Credentials(b"b", b"pb")


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


@pytest.fixture
def client() -> Client:
    return Client(known=False)


def log_in(client: Client, user: str = "a", *, number: int = 1) -> None:
    """Log in with a MEM command behind it and let Redis name the user; an identity is asked for then."""
    line = f"AUTH {user} p{user}"
    assert client.sends(line, "MEMCLEAR m") == [b">" + command(line) + fence(number)]
    assert client.redis(OK + passed(number)) == [b"<" + OK, b">" + fence(number + 1, ask=True)]
    assert client.redis(passed(number + 1, hello=HELLO, user=bulk(user))) == ["identify"]


class TestWhenItAsks:
    def test_without_a_login(self, client: Client) -> None:
        """The first MEM command asks once for what every new connection is; forwarded commands change nothing."""
        assert client.sends("MEMCLEAR m") == [b">" + fence(1)]
        assert client.redis(passed(1)) == ["identify"]
        assert client.asked == [((None,), None)]
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n"]
        assert client.sends("SET k v", "MEMCLEAR m") == [b">" + command("SET k v") + fence(2)]
        assert client.redis(OK + passed(2)) == [b"<" + OK, "run MEMCLEAR"]

    @pytest.mark.parametrize("line", ["GET k", "AUTH a pa", "HELLO 3 AUTH a pa", "RESET"])
    def test_not_for_forwarded_commands(self, client: Client, line: str) -> None:
        """Who sends no MEM command is never identified, and gets nothing but his own bytes to Redis."""
        assert client.sends(line, "GET k") == [b">" + command(line) + command("GET k")]
        assert client.asked == []

    def test_after_a_login(self, client: Client) -> None:
        """The session gives the credentials and the user that Redis named, and runs when it is told to."""
        log_in(client)
        assert client.asked == [((A, None), b"a")]
        assert client.identified() == ["run MEMCLEAR"]

    def test_a_login_that_failed(self, client: Client) -> None:
        """Redis's word counts, not the client's: the user named is the one it was."""
        client.sends("AUTH a wrong", "MEMCLEAR m")
        client.redis(b"-WRONGPASS no\r\n" + passed(1))
        client.redis(passed(2, hello=HELLO, user=bulk("default")))
        assert client.asked == [((Credentials(b"a", b"wrong"), None), b"default")]

    def test_a_user_whom_redis_does_not_name(self, client: Client) -> None:
        """Who may not ask ACL WHOAMI has no name."""
        client.sends("AUTH a pa", "MEMCLEAR m")
        client.redis(OK + passed(1))
        client.redis(passed(2, hello=HELLO))
        assert client.asked == [((A, None), None)]

    def test_a_second_login(self, client: Client) -> None:
        """Every login asks again, with the newest credentials first."""
        log_in(client)
        client.identified()
        client.done(0)
        log_in(client, "b", number=3)
        assert client.asked[1:] == [((B, A, None), b"b")]

    def test_logins_in_one_pipeline(self, client: Client) -> None:
        """Each MEM command of a pipeline belongs to the login in front of it, never to one behind it."""
        pipeline = ["AUTH a pa", "MEMCLEAR m", "AUTH b pb", "MEMCLEAR m"]
        assert client.sends(*pipeline) == [b">" + command("AUTH a pa") + fence(1)]
        client.redis(OK + passed(1))
        assert client.redis(passed(2, hello=HELLO, user=bulk("a"))) == ["identify"]
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", b">" + command("AUTH b pb") + fence(3)]
        client.redis(OK + passed(3))
        assert client.redis(passed(4, hello=HELLO, user=bulk("b"))) == ["identify"]
        assert client.asked == [((A, None), b"a"), ((B, A, None), b"b")]

    def test_reset(self, client: Client) -> None:
        """RESET asks again; where the default user needs a password, its own refusal is the answer."""
        log_in(client)
        client.identified()
        client.done(0)
        assert client.sends("RESET", "MEMCLEAR m") == [b">" + command("RESET") + fence(3)]
        assert client.redis(b"+RESET\r\n" + passed(3)) == [b"<+RESET\r\n", b">" + fence(4, ask=True)]
        client.redis(passed(4, hello=HELLO, user=bulk("default")))
        assert client.asked[1:] == [((None, A), b"default")]
        client.identified()
        client.done(1)
        client.sends("RESET", "MEMCLEAR m")
        assert client.redis(b"+RESET\r\n" + passed(5, echo=NOAUTH)) == [b"<+RESET\r\n" + NOAUTH]
        assert len(client.asked) == 2

    def test_a_reset_that_redis_refuses(self, client: Client) -> None:
        """RESET with words behind it resets nothing, so nothing is asked and the identity stays."""
        log_in(client)
        client.identified()
        client.done(0)
        assert client.sends("RESET now", "MEMCLEAR m") == [b">" + command("RESET now") + fence(3)]
        assert client.redis(b"-ERR wrong number\r\n" + passed(3)) == [b"<-ERR wrong number\r\n", "run MEMCLEAR"]
        assert len(client.asked) == 1

    @pytest.mark.parametrize("ending", ["", " SETNAME n", " NO", " SETNAME"])
    def test_hello_with_a_login(self, client: Client, ending: str) -> None:
        """HELLO AUTH is a login, also where a syntax error follows: before Redis 7.2 it has happened by then."""
        log_in(client)
        client.identified()
        client.done(0)
        line = "HELLO 3 AUTH b pb" + ending
        assert client.sends(line, "MEMCLEAR m") == [b">" + command(line) + fence(3)]
        client.redis(HELLO + passed(3))
        client.redis(passed(4, hello=HELLO, user=bulk("b")))
        assert client.asked[1:] == [((B, A, None), b"b")]

    def test_hello_without_a_login(self, client: Client) -> None:
        """HELLO alone asks Redis for the protocol, and nobody for an identity."""
        log_in(client)
        client.identified()
        client.done(0)
        client.sends("HELLO 3", "MEMCLEAR m")
        client.redis(HELLO + passed(3))
        assert client.redis(passed(4, hello=HELLO, user=bulk("a"))) == ["run MEMCLEAR"]
        assert len(client.asked) == 1

    @pytest.mark.parametrize("inline", [False, True])
    def test_byte_by_byte(self, client: Client, inline: bool) -> None:
        """A login is one however it comes."""
        data = b'auth "a" "p\\x61"\r\n' if inline else command("AUTH a pa")
        sent = [step for at in range(len(data)) for step in client.sends(data[at : at + 1])]
        assert sent == [b">" + data]
        client.sends("MEMCLEAR m")
        client.redis(OK + passed(1))
        client.redis(passed(2, hello=HELLO))
        assert client.asked == [((A, None), None)]

    def test_a_login_too_long_to_be_seen(self, client: Client) -> None:
        """Whom such a login made of the client is told by Redis or by nobody: older credentials are no answer."""
        log_in(client)
        client.identified()
        client.done(0)
        client.sends("AUTH b " + "x" * (MAX_LOGIN_WORD_BYTES + 1), "MEMCLEAR m")
        client.redis(OK + passed(3))
        client.redis(passed(4, hello=HELLO))
        assert client.asked[1:] == [((), None)]

    def test_in_a_transaction(self, client: Client) -> None:
        """AUTH inside MULTI is asked about after EXEC, not before."""
        log_in(client)
        client.identified()
        client.done(0)
        client.sends("MULTI", "AUTH b pb", "MEMCLEAR m")
        (refused,) = client.redis(OK + b"+QUEUED\r\n" + passed(3, echo=b"+QUEUED\r\n"))
        assert isinstance(refused, bytes)
        assert b"cannot be part of a transaction" in refused
        assert len(client.asked) == 1
        client.sends("EXEC", "MEMCLEAR m")
        client.redis(b"-EXECABORT no\r\n" + passed(4))
        client.redis(passed(5, hello=HELLO, user=bulk("a")))
        assert client.asked[1:] == [((B, A, None), b"a")]


class TestSilence:
    def test_replies_off(self, client: Client) -> None:
        """In silence nothing can be asked, so the credentials have to do; afterwards Redis's word counts again."""
        log_in(client)
        client.identified()
        client.done(0)
        client.sends("CLIENT REPLY OFF")
        steps = client.sends("AUTH b pb", "MEMCLEAR m")
        assert steps[-1] == "identify"
        assert client.asked[1:] == [((B, A, None), None)]
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(1) == []
        client.sends("CLIENT REPLY ON", "MEMCLEAR m")
        client.redis(OK + passed(3))
        assert client.redis(passed(4, hello=HELLO, user=bulk("a"))) == ["identify"]
        assert client.asked[2:] == [((B, A, None), b"a")]

    def test_a_skipped_login(self, client: Client) -> None:
        """A login whose reply is skipped is one all the same."""
        assert client.sends("CLIENT REPLY SKIP", "AUTH a pa", "MEMCLEAR m") == [
            b">" + command("CLIENT REPLY SKIP") + command("AUTH a pa") + fence(1)
        ]
        assert client.redis(passed(1)) == [b">" + fence(2, ask=True)]
        assert client.redis(passed(2, hello=HELLO, user=bulk("a"))) == ["identify"]
        assert client.asked == [((A, None), b"a")]

    def test_behind_a_skip(self, client: Client) -> None:
        """The command that is not answered runs as whom the credentials name, the next one as whom Redis names."""
        client.sends("AUTH a pa", "CLIENT REPLY SKIP", "MEMCLEAR m", "MEMCLEAR n")
        assert client.redis(OK + passed(1, echo=b"")) == [b"<" + OK, "identify"]
        assert client.asked == [((A, None), None)]
        assert client.identified() == ["run MEMCLEAR", b">" + fence(2, ask=True)]
        assert client.redis(passed(2, hello=HELLO, user=bulk("default"))) == ["identify"]
        assert client.asked[1:] == [((A, None), b"default")]
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0) == []
        assert client.done(1, 3) == [b"<:3\r\n"]


class TestRefusals:
    def test_nobody(self, client: Client) -> None:
        """Who cannot be identified gets NOAUTH for every MEM command, until something else is forwarded."""
        client.sends("AUTH a pa", "MEMCLEAR m", "MEMREAD m", "GET k", "MEMREAD m")
        client.redis(OK + passed(1))
        client.redis(passed(2, hello=HELLO, user=bulk("b")))
        line = b"-" + NotIdentified(b"b").reply().encode() + b"\r\n"
        assert line.startswith(b"-NOAUTH ")
        assert client.identified(NotIdentified(b"b")) == [b"<" + line * 2, b">" + command("GET k") + fence(3)]
        assert client.redis(b"$-1\r\n" + passed(3)) == [b"<$-1\r\n", "identify"]
        assert [outcome for _, outcome, _ in client.observed] == ["NOAUTH", "NOAUTH"]

    @pytest.mark.parametrize("problem", [Unavailable("gone"), TooManyIdentities(9)])
    def test_what_may_pass(self, client: Client, problem: Unavailable | TooManyIdentities) -> None:
        """A problem that may pass by itself is asked about again for the next MEM command."""
        client.sends("MEMCLEAR m", "MEMCLEAR m")
        assert client.redis(passed(1)) == ["identify"]
        line = b"-" + problem.reply().encode() + b"\r\n"
        assert client.identified(problem) == [b"<" + line, "identify"]
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 4) == [b"<:4\r\n"]

    def test_a_refused_fence_asks_for_nothing(self, client: Client) -> None:
        """Who has not logged in, or may not ECHO, has Redis's own answer, and is not identified."""
        client.sends("AUTH a wrong", "MEMCLEAR m")
        assert client.redis(b"-WRONGPASS\r\n" + passed(1, echo=NOAUTH)) == [b"<-WRONGPASS\r\n" + NOAUTH]
        assert client.asked == []


class TestOrder:
    def test_nothing_overtakes_the_question(self, client: Client) -> None:
        """While an identity is looked for, everything behind the MEM command waits, in its order."""
        log_in(client)
        assert client.sends("GET k", "MEMREAD m", "RESET") == []
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", b">" + command("GET k") + fence(3)]

    def test_it_asks_once_at_a_time(self, client: Client) -> None:
        """More MEM commands, more bytes from Redis and a pause ask nothing twice."""
        client.sends("MEMCLEAR m")
        client.redis(passed(1))
        client.sends("MEMCLEAR m")
        client.redis(b">2\r\n+a\r\n+b\r\n")
        client.holds(True)
        client.holds(False)
        assert len(client.asked) == 1

    def test_held_meanwhile(self, client: Client) -> None:
        """Where the client stops reading while it is identified, the command starts once it reads again."""
        client.sends("MEMCLEAR m")
        client.redis(passed(1))
        client.holds(True)
        assert client.identified() == []
        assert client.holds(False) == ["run MEMCLEAR"]


class TestEnds:
    def test_the_client_leaves(self, client: Client) -> None:
        """What a client has sent takes effect as its user, though it did not wait."""
        log_in(client)
        assert client.leaves() == []
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", "close redis"]

    def test_redis_goes(self, client: Client) -> None:
        """A command whose turn it was runs on our own connection, if there is one, and is answered before the end."""
        log_in(client)
        assert client.loses_redis() == []
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", "close client"]

    def test_redis_goes_for_good(self, client: Client) -> None:
        """Where nobody can tell who it is any more, the client gets the reason and is closed."""
        log_in(client)
        client.loses_redis()
        problem = Unavailable("gone")
        assert client.identified(problem) == [b"<-" + problem.reply().encode() + b"\r\n", "close client"]

    def test_it_is_drained(self, client: Client) -> None:
        """A drained session answers what it has taken first, the question included."""
        log_in(client)
        assert client.session.drain() == []
        assert client.identified() == ["run MEMCLEAR"]
        steps = client.done(0, 1)
        assert steps == [b"<:1\r\n", "close client", "close redis"]
