"""The end of a session when the sidecar stops, as transcripts: what was taken is answered, and nothing is torn."""

from __future__ import annotations

import pytest

from tests.session.results import HEALTH
from tests.support.transcripts import Client, command, fence, passed

NOAUTH = b"-NOAUTH Authentication required.\r\n"
CLOSED = ["close client", "close redis"]


class TestAtOnce:
    def test_a_client_that_said_nothing(self, client: Client) -> None:
        """Redis is not asked about a connection on which nothing was ever sent."""
        assert client.drains() == CLOSED
        assert client.loses_redis() == []

    def test_a_client_that_waits_for_nothing(self, ready: Client) -> None:
        """Where the last fence has come back and nothing was sent since, there is nothing to wait for."""
        ready.sends("MEMCLEAR a")
        ready.done(0, 1)
        assert ready.drains() == CLOSED

    def test_only_once(self, ready: Client) -> None:
        """Both sides are closed once, whatever comes afterwards."""
        assert ready.drains() == CLOSED
        assert ready.drains() == []
        assert ready.sends("GET a", "MEMCLEAR a") == []
        assert ready.redis(b"") == []
        assert ready.loses_redis() == []
        assert ready.leaves() == []

    def test_a_silent_client(self, ready: Client) -> None:
        """Under CLIENT REPLY OFF no fence would come back; Redis executes what it has got, and ours has run."""
        ready.sends("CLIENT REPLY OFF", "INCR n", "MEMCLEAR a")
        assert ready.drains() == []
        assert ready.done(0, 1) == CLOSED


class TestForwarded:
    def test_replies_that_are_outstanding(self, client: Client) -> None:
        """What was forwarded is answered first: a fence tells when that is so, and the client does not see it."""
        client.sends("GET a", "GET b")
        assert client.drains() == [b">" + fence(1)]
        assert client.redis(b"$1\r\nx\r\n$3\r\nab") == [b"<$1\r\nx\r\n$3\r\nab"]
        assert client.redis(b"c\r\n" + passed(1)) == [b"<c\r\n", *CLOSED]

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_a_fence_in_pieces(self, client: Client, size: int) -> None:
        """However the last bytes are cut, the client gets its reply and not a byte of the fence."""
        client.sends("GET a")
        client.drains()
        steps, data = [], b"$1\r\nx\r\n" + passed(1)
        for start in range(0, len(data), size):
            steps += client.redis(data[start : start + size])
        assert b"".join(step[1:] for step in steps if isinstance(step, bytes)) == b"$1\r\nx\r\n"
        assert steps[-2:] == CLOSED

    def test_commands_that_come_later(self, client: Client) -> None:
        """What comes behind the signal is neither executed nor answered, and not read either."""
        client.sends("GET a")
        assert not client.full()
        client.drains()
        assert client.full()
        assert client.sends("SET a 1", "MEMCLEAR a") == []
        assert client.redis(b"$-1\r\n" + passed(1)) == [b"<$-1\r\n", *CLOSED]

    @pytest.mark.parametrize(
        ("sent", "echo"),
        [
            (["MULTI", "SET a 1"], b"+QUEUED\r\n"),
            (["SUBSCRIBE news"], b"-ERR Can't execute 'echo': only (P|S)SUBSCRIBE / PING / QUIT are allowed\r\n"),
            (["GET a"], NOAUTH),
            (["CLIENT REPLY SKIP"], b""),
        ],
    )
    def test_in_any_mode(self, client: Client, sent: list[str], echo: bytes) -> None:
        """Half a transaction, a subscription, a connection without a login: the fence tells that all is answered."""
        client.sends(*sent)
        assert client.drains() == [b">" + fence(1)]
        assert client.redis(b"+replies\r\n" + passed(1, echo=echo)) == [b"<+replies\r\n", *CLOSED]

    def test_while_a_fence_is_on_its_way(self, client: Client) -> None:
        """The fence of a MEM command will do; that command runs and is answered."""
        client.sends("GET a", "MEMCLEAR a")
        assert client.drains() == []
        assert client.redis(b"$-1\r\n" + passed(1)) == [b"<$-1\r\n", "run MEMCLEAR"]
        assert client.done(0, 2) == [b"<:2\r\n", *CLOSED]

    def test_blocked(self, client: Client) -> None:
        """A blocked client's fence does not come; when its upstream is ended, what waits behind it is not executed."""
        client.sends("BLPOP l 0", "MEMCLEAR a", "SET b 1")
        assert client.drains() == []
        assert not client.session.running
        assert client.loses_redis() == ["close client"]
        assert client.tickets == []


class TestInTheMiddleOfARequest:
    SET = command("SET k 12345678")

    def test_it_is_taken_to_its_end(self, client: Client) -> None:
        """A request of which Redis has the first part is completed, with no fence in the middle of it, and answered."""
        for cut in range(len(self.SET) - 10, len(self.SET)):
            client = Client()
            client.sends(self.SET[:cut])
            assert client.drains() == []
            assert not client.full()
            assert client.sends(self.SET[cut:]) == [b">" + self.SET[cut:] + fence(1)]
            assert client.full()
            assert client.redis(b"+OK\r\n" + passed(1)) == [b"<+OK\r\n", *CLOSED]

    def test_and_nothing_more(self, client: Client) -> None:
        """What follows in the same packets is not taken: a client that goes on sending would never come to an end."""
        client.sends(self.SET[:-5])
        assert client.drains() == []
        assert client.sends(self.SET[-5:] + self.SET[:-5]) == [b">" + self.SET[-5:] + fence(1)]
        assert client.sends(self.SET[-5:] + self.SET) == []
        assert client.redis(b"+OK\r\n" + passed(1)) == [b"<+OK\r\n", *CLOSED]

    def test_a_client_that_leaves_in_the_middle(self, client: Client) -> None:
        """Nobody waits for the rest of a request that will not come."""
        client.sends(self.SET[:-5])
        assert client.drains() == []
        assert client.leaves() == ["close redis"]
        assert client.loses_redis() == ["close client"]

    @pytest.mark.parametrize("part", [b"*2\r\n$3\r\nGE", command("MEMAPPEND a user hello")[:-3], b"PIN", b"*3\r\n"])
    def test_of_which_redis_has_nothing(self, client: Client, part: bytes) -> None:
        """A request of which Redis has got nothing is not taken: half a MEM command, half a line."""
        client.sends("GET a", part)
        assert client.drains() == [b">" + fence(1)]
        assert client.redis(b"$-1\r\n" + passed(1)) == [b"<$-1\r\n", *CLOSED]

    def test_of_an_oversized_one(self, ready: Client) -> None:
        """A MEM command that is too large is answered, and its remaining bytes are nobody's business."""
        oversized = command("MEMREAD " + "x " * 70_000)
        (reply,) = ready.sends(oversized[:300_000])
        assert isinstance(reply, bytes)
        assert reply.startswith(b"<-BADMESSAGE a request may have")
        assert ready.drains() == CLOSED


class TestOurs:
    def test_commands_that_run_and_wait(self, ready: Client) -> None:
        """All MEM commands that were taken run and are answered, and so is what was forwarded between them."""
        assert ready.sends("MEMCLEAR a", "MEMCLEAR a", "GET b", "MEMCLEAR c") == ["run MEMCLEAR"]
        assert ready.drains() == []
        assert ready.done(0, 1) == [b"<:1\r\n", "run MEMCLEAR"]
        assert ready.done(1, 2) == [b"<:2\r\n", b">" + command("GET b") + fence(2)]
        assert ready.redis(b"$-1\r\n" + passed(2)) == [b"<$-1\r\n", "run MEMCLEAR"]
        assert ready.done(2, 3) == [b"<:3\r\n", *CLOSED]

    def test_redis_goes_meanwhile(self, ready: Client) -> None:
        """MEM commands whose turn it was are answered although Redis has closed; what would have to go there is not."""
        ready.sends("MEMCLEAR a", "MEMCLEAR a", "GET b", "MEMCLEAR c")
        assert ready.drains() == []
        assert ready.loses_redis() == []
        assert ready.done(0, 1) == [b"<:1\r\n", "run MEMCLEAR"]
        assert ready.done(1, 2) == [b"<:2\r\n", "close client"]

    def test_the_client_goes_meanwhile(self, ready: Client) -> None:
        """A client that leaves while it is let go is closed as any other that leaves."""
        ready.sends("MEMHEALTH")
        assert ready.drains() == []
        assert ready.leaves() == []
        assert ready.done(0, HEALTH)[1:] == ["close redis"]
        assert ready.loses_redis() == ["close client"]

    def test_before_the_user_is_known(self) -> None:
        """A command that waits to hear as whom it runs is in flight, too."""
        client = Client(known=False)
        client.sends("MEMCLEAR a")
        assert client.redis(passed(1)) == ["identify"]
        assert client.drains() == []
        assert client.identified() == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", *CLOSED]

    def test_a_client_that_does_not_read(self, ready: Client) -> None:
        """Commands held back because their replies would not be read are taken up when the client reads on."""
        ready.holds(True)
        ready.sends("MEMCLEAR a")
        assert ready.drains() == []
        assert ready.holds(False) == ["run MEMCLEAR"]
        assert ready.done(0, 1) == [b"<:1\r\n", *CLOSED]


class TestPushes:
    PUSH = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"

    def test_a_push_is_not_cut(self, ready: Client) -> None:
        """The first half of a push waits for the second, and a connection that is closed meanwhile has seen neither."""
        assert ready.redis(self.PUSH[:9]) == []
        assert ready.drains() == CLOSED

    def test_a_push_behind_the_last_fence(self, client: Client) -> None:
        """Whole pushes in the packet with the fence's end still come; half of one does not."""
        client.sends("SUBSCRIBE c")
        client.drains()
        steps = client.redis(b">3\r\nreply" + passed(1) + self.PUSH + self.PUSH[:7])
        assert steps == [b"<>3\r\nreply" + self.PUSH, *CLOSED]


def test_the_answer_to_command(ready: Client) -> None:
    """An answer that our commands are put into is whole before the end, and its own fence is enough."""
    assert ready.sends("COMMAND COUNT") == [b">" + command("COMMAND COUNT") + fence(2)]
    assert ready.drains() == []
    (reply, *closed) = ready.redis(b":240\r\n" + passed(2))
    assert isinstance(reply, bytes)
    assert int(reply[2:]) > 240
    assert closed == CLOSED
