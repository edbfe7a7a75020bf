"""The session, as transcripts: what comes in, and what it wants done, in order. States are in `test_states`."""

from __future__ import annotations

import pytest

from sidecar.errors import BadMessage, WaitEnded
from sidecar.memory.requests import AppendRequest
from sidecar.resp.requests import MAX_REQUEST_ARGUMENTS
from sidecar.session import limits as module
from tests.session.results import HEALTH
from tests.support.transcripts import Client, command, fence, passed

NOAUTH = b"-NOAUTH Authentication required.\r\n"


class TestForwarding:
    def test_bytes_pass_as_they_are(self, client: Client) -> None:
        """What is not ours goes to Redis at once and unchanged, and its replies to the client."""
        assert client.sends("GET a", b"PING\r\n") == [b">" + command("GET a") + b"PING\r\n"]
        assert client.sends(b"*2\r\n$3\r\nGET\r\n$3\r\na") == [b">*2\r\n$3\r\nGET\r\n$3\r\na"]
        assert client.redis(b"$1\r\nx\r\n+PO") == [b"<$1\r\nx\r\n+PO"]
        assert client.redis(b"NG\r\n") == [b"<NG\r\n"]
        assert client.idle()

    def test_the_short_way(self, ready: Client) -> None:
        """Whole requests of Redis's and their replies take the short way, from the second request after a fence on."""
        data, session = command("GET a") + command("GET b"), ready.session
        assert not session.replies_pass
        assert not session.passes(data)
        ready.sends("GET a")
        assert session.passes(data)
        assert session.replies_pass

    @pytest.mark.parametrize(
        ("before", "data"),
        [
            ([], b"*1\r\n$4\r\nPIN"),
            (["MEMINFO a"], command("GET a")),
            (["CLIENT REPLY SKIP"], command("GET a")),
            ([b"*2\r\n$3\r\nGET\r\n$40\r\n"], command("GET a")),
            ([b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$6\r\nCLIENT\r\n"], command("GET a")),
            ([b"*2\r\n$3\r\nGET\r\n"], command("GET a")),
            ([b"*2\r\n"], command("GET a")),
            ([b"*x\r\n"], command("GET a")),
            ([], command("MEMINFO a")),
            ([], command("GET a") + command("hello 3")),
            ([], b"PING\r\n"),
        ],
    )
    def test_not_the_short_way(self, client: Client, before: list[str | bytes], data: bytes) -> None:
        """What changes the state of the connection, or arrives in one that is not plain, takes the long way."""
        client.sends("GET a", *before)
        assert not client.session.passes(data)

    def test_no_short_way_past_a_mem_command(self, ready: Client) -> None:
        """What follows a MEM command does not overtake it, also in silence, where no fence stands between them."""
        ready.sends("CLIENT REPLY OFF", "GET a")
        assert ready.session.passes(command("GET a"))
        ready.holds(True)
        assert ready.sends("MEMCLEAR a") == []
        assert not ready.session.passes(command("GET a"))
        assert ready.holds(False) == ["run MEMCLEAR"]
        assert not ready.session.passes(command("GET a"))
        ready.done(0, 1)
        assert ready.session.passes(command("GET a"))

    def test_no_short_way_at_the_end(self, client: Client) -> None:
        """When one side is gone, the short way to or from it is closed, because there is more to be done."""
        client.sends("GET a")
        before = client.session.replies_pass
        client.leaves()
        assert (before, client.session.replies_pass) == (True, False)
        client.loses_redis()
        assert not client.session.passes(command("GET a"))

    def test_no_short_way_while_draining(self, client: Client) -> None:
        """Draining takes no further request, so the short way is closed in both directions."""
        client.sends("GET a")
        client.session.drain()
        assert not client.session.passes(command("GET a"))
        assert not client.session.replies_pass

    def test_nothing_is_sent_unasked(self, client: Client) -> None:
        """Without a MEM command Redis gets not one byte of ours, whatever the client does."""
        lines = ["HELLO 3", "MULTI", "EXEC", "SUBSCRIBE a", "CLIENT REPLY SKIP", "RESET", "MONITOR"]
        for line in lines:
            assert client.sends(line) == [b">" + command(line)]
            assert client.redis(b"+x\r\n") == [b"<+x\r\n"]

    def test_odd_bytes_pass(self, client: Client) -> None:
        """Bytes that are no request go on, and so does everything after them, our commands too."""
        assert client.sends(b"*x\r\n", "MEMINFO a") == [b">*x\r\n" + command("MEMINFO a")]


class TestOrder:
    def test_a_barrier(self, client: Client) -> None:
        """A MEM command waits for the replies of what was forwarded before it, and what follows waits for its own."""
        assert client.sends("GET a", "MEMCLEAR k", "GET b") == [b">" + command("GET a") + fence(1)]
        assert client.redis(b"$1\r\nx\r\n") == [b"<$1\r\nx\r\n"]
        assert client.redis(passed(1)) == ["run MEMCLEAR"]
        assert client.done(0, 3) == [b"<:3\r\n", b">" + command("GET b")]
        assert client.redis(b"$1\r\ny\r\n") == [b"<$1\r\ny\r\n"]

    def test_an_idle_connection_needs_no_second_fence(self, ready: Client) -> None:
        """A connection that speaks only MEM commands pays for one fence."""
        assert ready.sends("MEMCLEAR a") == ["run MEMCLEAR"]
        assert ready.done(0, 1) == [b"<:1\r\n"]
        assert ready.sends("MEMCLEAR a") == ["run MEMCLEAR"]

    def test_a_forward_costs_a_fence(self, ready: Client) -> None:
        """After a forwarded command the next MEM command has a fence again."""
        assert ready.sends("GET a", "MEMCLEAR k") == [b">" + command("GET a") + fence(2)]
        assert ready.redis(b"$-1\r\n" + passed(2)) == [b"<$-1\r\n", "run MEMCLEAR"]

    def test_commands_for_different_memories_run_together(self, ready: Client) -> None:
        """MEM commands pipeline, and are answered in the order in which they were sent."""
        assert ready.sends("MEMCLEAR a", "MEMCLEAR b", "MEMCOUNT x") == ["run MEMCLEAR", "run MEMCLEAR", "run MEMCOUNT"]
        assert ready.done(2, [1]) == []
        assert ready.done(1, 2) == []
        assert ready.done(0, 1) == [b"<:1\r\n:2\r\n*1\r\n:1\r\n"]

    def test_commands_for_one_memory_run_one_by_one(self, ready: Client) -> None:
        """A MEM command waits for another one on the same memory, and so does everything behind it."""
        assert ready.sends("MEMCLEAR a", "MEMCLEAR default:a", "MEMCLEAR b") == ["run MEMCLEAR"]
        assert ready.done(0, 1) == [b"<:1\r\n", "run MEMCLEAR", "run MEMCLEAR"]

    def test_appends_to_one_memory_pipeline(self, ready: Client) -> None:
        """Appends to the same memory run together, because the store keeps their order."""
        assert ready.sends("MEMAPPEND a user x", "MEMAPPEND a user y") == ["run MEMAPPEND", "run MEMAPPEND"]
        assert ready.sends("MEMINFO a") == []
        assert ready.done(0, BadMessage("no")) == [b"<-BADMESSAGE no\r\n"]
        assert ready.done(1, BadMessage("no")) == [b"<-BADMESSAGE no\r\n", "run MEMINFO"]

    def test_an_append_waits_for_a_read(self, ready: Client) -> None:
        """An append to a memory that is being read waits, and later appends stay behind it."""
        assert ready.sends("MEMCLEAR a", "MEMAPPEND a user x", "MEMAPPEND a user y") == ["run MEMCLEAR"]
        assert ready.done(0, 0) == [b"<:0\r\n", "run MEMAPPEND", "run MEMAPPEND"]

    @pytest.mark.parametrize("large_first", [True, False])
    def test_a_large_append_runs_alone(self, ready: Client, large_first: bool) -> None:
        """An append that is counted on a thread could be overtaken, so it is alone on its memory."""
        large, small = f"MEMAPPEND a user {'x' * 70_000}", "MEMAPPEND a user y"
        lines = [large, small] if large_first else [small, large]
        assert ready.sends(*lines) == ["run MEMAPPEND"]
        assert ready.done(0, BadMessage("no"))[-1] == "run MEMAPPEND"

    def test_a_waiting_command_is_parsed_once(self, ready: Client) -> None:
        """A command that waits for its memory runs with the request that it was parsed to."""
        ready.sends("MEMCLEAR a", "MEMAPPEND a user x", "MEMCLEAR b")
        ready.holds(True)
        ready.holds(False)
        assert ready.done(0, 0) == [b"<:0\r\n", "run MEMAPPEND", "run MEMCLEAR"]
        request = ready.tickets[1].request
        assert isinstance(request, AppendRequest)
        assert [message.content for message in request.messages] == ["x"]

    def test_parse_errors_keep_their_place(self, ready: Client) -> None:
        """A command that cannot be parsed is answered in its turn, and the connection lives on."""
        assert ready.sends("MEMCLEAR a", "MEMCLEAR", "MEMAPPEND a robot x", "MEMCLEAR b") == ["run MEMCLEAR"] * 2
        assert ready.done(1, 2) == []
        assert ready.done(0, 1) == [
            b"<:1\r\n-ERR wrong number of arguments for 'memclear' command\r\n"
            b"-BADMESSAGE role of message 1 is 'robot'; it must be one of assistant, developer, system, tool, user\r\n"
            b":2\r\n"
        ]

    def test_a_forward_behind_a_parse_error(self, ready: Client) -> None:
        """What follows a refused command does not wait for anything."""
        assert ready.sends("MEMCLEAR", "GET a") == [
            b"<-ERR wrong number of arguments for 'memclear' command\r\n",
            b">" + command("GET a"),
        ]

    def test_an_oversized_request(self, ready: Client) -> None:
        """A request over the limit is answered in its turn, and what follows it is understood."""
        oversized = command("MEMREAD " + "x " * MAX_REQUEST_ARGUMENTS)
        assert ready.sends("MEMCLEAR a", oversized, "MEMCLEAR b") == ["run MEMCLEAR"] * 2
        assert ready.done(0, 1) == [
            b"<:1\r\n-BADMESSAGE a request may have %d arguments; send it in parts\r\n" % MAX_REQUEST_ARGUMENTS
        ]

    def test_a_command_in_pieces(self, ready: Client) -> None:
        """A MEM command runs once its last byte is here."""
        data = command("MEMCLEAR a")
        for byte in data[:-1]:
            assert ready.sends(bytes([byte])) == []
        assert ready.sends(data[-1:]) == ["run MEMCLEAR"]


class TestPushes:
    MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"

    def test_a_push_in_two_pieces(self, ready: Client) -> None:
        """A MEM reply never tears a push apart: the push's first half waits for the second."""
        for cut in range(1, len(self.MESSAGE)):
            ready.sends("MEMCLEAR a")
            assert ready.redis(self.MESSAGE[:cut]) == []
            assert ready.done(-1, 1) == [b"<:1\r\n"]
            assert ready.redis(self.MESSAGE[cut:]) == [b"<" + self.MESSAGE]

    def test_a_forward_lets_the_half_go(self, ready: Client) -> None:
        """When a forwarded command is due, what is held goes on: its reply comes from the same stream."""
        assert ready.redis(self.MESSAGE[:9]) == []
        assert ready.sends("GET a") == [b"<" + self.MESSAGE[:9], b">" + command("GET a")]
        assert ready.redis(self.MESSAGE[9:] + b"$-1\r\n") == [b"<" + self.MESSAGE[9:] + b"$-1\r\n"]

    def test_behind_a_fence(self, client: Client) -> None:
        """What comes in one piece with the fence's end is kept whole, too."""
        client.sends("MEMCLEAR a")
        assert client.redis(passed(1) + self.MESSAGE[:5]) == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n"]
        assert client.redis(self.MESSAGE[5:]) == [b"<" + self.MESSAGE]

    def test_redis_goes_with_half_a_push(self, ready: Client) -> None:
        """When Redis closes, every byte it sent reaches the client first."""
        assert ready.redis(self.MESSAGE[:9]) == []
        assert ready.loses_redis() == [b"<" + self.MESSAGE[:9], "close client"]


class TestEnds:
    def test_the_client_leaves(self, client: Client) -> None:
        """A client that ends its stream takes the upstream's with it, and its own is closed when Redis has closed."""
        client.sends("GET a")
        assert client.leaves() == ["close redis"]
        assert client.redis(b"$-1\r\n") == [b"<$-1\r\n"]
        assert client.loses_redis() == ["close client"]

    def test_the_client_leaves_before_its_fence_came_back(self, client: Client) -> None:
        """What a client sent before it ended its stream still takes effect, and is answered."""
        client.sends("MEMCLEAR a", "GET b")
        assert client.leaves() == []
        assert client.redis(passed(1)) == ["run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", b">" + command("GET b"), "close redis"]

    def test_the_client_leaves_and_is_refused(self, client: Client) -> None:
        """A refusal ends the wait as well."""
        client.sends("MEMCLEAR a")
        assert client.leaves() == []
        assert client.redis(passed(1, echo=NOAUTH)) == [b"<" + NOAUTH, "close redis"]

    def test_the_client_leaves_a_blpop(self, client: Client) -> None:
        """Behind a BLPOP that nobody waits for any more, nothing runs: Redis hears at once that the client has gone."""
        client.sends("BLPOP q 0", "MEMCLEAR a")
        assert client.leaves() == ["close redis"]
        assert client.loses_redis() == ["close client"]
        assert client.tickets == []

    def test_the_client_leaves_behind_a_long_reply(self, client: Client) -> None:
        """Where nothing blocks, Redis is not told before the fence is back, which it would drop with the replies."""
        client.sends("GET large", "MEMCLEAR a")
        assert client.leaves() == []
        assert client.redis(b"$5\r\nlarge\r\n" + passed(1)) == [b"<$5\r\nlarge\r\n", "run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n", "close redis"]

    def test_the_client_leaves_and_redis_goes_behind_the_fence(self) -> None:
        """What was behind a fence that came back still runs and is answered, also when Redis has closed meanwhile."""
        client = Client(known=False)
        client.sends("BLPOP a 1", "MEMCLEAR a", "MEMCLEAR b")
        assert client.leaves() == ["close redis"]
        assert client.redis(b"*-1\r\n" + passed(1)) == [b"<*-1\r\n", "identify"]
        assert client.loses_redis() == []
        assert client.identified() == ["run MEMCLEAR", "run MEMCLEAR"]
        assert client.done(0, 1) == [b"<:1\r\n"]
        assert client.done(1, 2) == [b"<:2\r\n", "close client"]

    def test_the_client_leaves_while_it_waits(self, ready: Client) -> None:
        """What waits for something to happen stops waiting at once, also where it starts later; the rest goes on."""
        assert ready.sends("MEMLOCK a 1000 WAIT 1000", "MEMCLEAR b") == ["run MEMLOCK", "run MEMCLEAR"]
        ready.sends("MEMREAD a SINCE $ BLOCK 1000")
        assert ready.leaves() == ["stop MEMLOCK"]
        assert ready.done(0, WaitEnded()) == [
            b"<-" + WaitEnded().reply().encode() + b"\r\n",
            "run MEMREAD",
            "stop MEMREAD",
        ]

    def test_redis_leaves(self, client: Client) -> None:
        """When Redis closes, so does the client's connection, once."""
        client.sends("QUIT")
        assert client.redis(b"+OK\r\n") == [b"<+OK\r\n"]
        assert client.loses_redis() == ["close client"]
        assert client.leaves() == []

    def test_redis_leaves_while_commands_run(self, ready: Client) -> None:
        """MEM commands that run are answered before the connection closes; what waits is lost, as with Redis."""
        assert ready.sends("MEMCLEAR a", "MEMCLEAR b", "GET c", "MEMCLEAR d") == ["run MEMCLEAR"] * 2
        assert ready.loses_redis() == []
        assert ready.sends("MEMCLEAR e", "GET f", "MEMCLEAR g") == []
        assert ready.done(1, 2) == []
        assert ready.done(0, 1) == [b"<:1\r\n:2\r\n", "close client"]

    def test_redis_leaves_instead_of_the_fence(self, client: Client) -> None:
        """A MEM command whose fence never came back is neither run nor answered."""
        client.sends("GET a", "MEMCLEAR a")
        assert client.redis(b"$1\r\nx\r\n-ERR going") == [b"<$1\r\nx\r\n"]
        assert client.loses_redis() == [b"<-ERR going", "close client"]
        assert client.tickets == []

    def test_both_leave(self, ready: Client) -> None:
        """A command that runs when both ends are gone still ends in order."""
        ready.sends("MEMCLEAR a")
        assert ready.leaves() == []
        assert ready.loses_redis() == []
        assert ready.done(0, 1) == [b"<:1\r\n", "close client"]


class TestLimits:
    def test_held(self, ready: Client) -> None:
        """While the client does not read, no further MEM command starts; those that run are answered."""
        assert ready.holds(True) == []
        assert ready.sends("MEMCLEAR a", "GET b") == []
        assert ready.holds(True) == []
        assert ready.holds(False) == ["run MEMCLEAR"]
        assert ready.holds(True) == []
        assert ready.done(0, 1) == [b"<:1\r\n", b">" + command("GET b")]

    def test_most_running(self, ready: Client) -> None:
        """No more than a set number of MEM commands runs at once; the next starts when the first is answered."""
        ready.sends(*[f"MEMCLEAR m{number}" for number in range(module.MAX_RUNNING_COMMANDS + 2)])
        assert len(ready.tickets) == module.MAX_RUNNING_COMMANDS
        assert ready.done(1, 1) == []
        assert ready.done(0, 1) == [b"<:1\r\n:1\r\n", "run MEMCLEAR", "run MEMCLEAR"]

    def test_full_of_commands(self, ready: Client) -> None:
        """With too many commands waiting the session is full, until some of them are answered."""
        ready.sends(*[f"MEMCLEAR m{number}" for number in range(module.MAX_PENDING_COMMANDS)])
        assert not ready.full()
        ready.sends("MEMCLEAR last")
        assert ready.full()
        ready.done(0, 1)
        assert not ready.full()

    def test_full_of_forwarded_bytes(self, ready: Client) -> None:
        """Forwarded bytes that wait behind a MEM command are bounded, however few commands they are."""
        others = len(b"*1\r\n$9\r\nMEMHEALTH\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4194304\r\n")
        value = b"x" * (module.MAX_PENDING_BYTES - others)
        ready.sends("MEMHEALTH", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4194304\r\n" + value)
        assert not ready.full()
        ready.sends(b"y")
        assert ready.full()
        ready.done(0, HEALTH)
        assert not ready.full()

    def test_full_of_our_own_bytes(self, client: Client) -> None:
        """Large MEM commands count as well, from their arrival to their answer."""
        text = "x" * (module.MAX_PENDING_BYTES // 2)
        client.sends("BLPOP l 0", f"MEMAPPEND a user {text}")
        assert not client.full()
        client.sends(f"MEMAPPEND b user {text}")
        assert client.full()
        client.redis(passed(1))
        assert client.full()
        client.done(0, BadMessage("no"))
        assert not client.full()
        client.done(1, BadMessage("no"))
        client.sends(f"MEMAPPEND c user {text}")
        assert not client.full()

    def test_idle(self, ready: Client) -> None:
        """A session is idle when no MEM command waits or runs."""
        assert ready.idle()
        ready.sends("MEMCLEAR a")
        assert not ready.idle()
        ready.done(0, 1)
        assert ready.idle()
