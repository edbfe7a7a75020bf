"""What becomes of a MEM command: its reply, its count, and a line in the log where somebody should look at it."""

from __future__ import annotations

from dataclasses import replace

from sidecar.commands.table import COMMANDS
from sidecar.errors import BadMessage, InternalError, RedisRefused, Unavailable, WaitEnded
from sidecar.memory.requests import InfoRequest
from sidecar.memory.results import AppendResult
from tests.support.transcripts import Client, passed


class TestOutcomes:
    def test_errors_and_metrics(self, ready: Client) -> None:
        """Each command is observed once, when its reply goes out: name, outcome and seconds since it was started."""
        ready.now = 10.0
        ready.sends("MEMCLEAR a", "MEMCLEAR b", "MEMCOUNT x", "MEMCLEAR")
        ready.now = 12.5
        ready.done(1, Unavailable("down"))
        ready.done(2, RuntimeError("bug\r\nwith two lines"))
        assert ready.observed == []
        assert ready.done(0, 1) == [
            b"<:1\r\n-UNAVAILABLE Redis cannot be reached (down); nothing was sent, safe to retry (request id1)\r\n"
            b"-%b\r\n-ERR wrong number of arguments for 'memclear' command\r\n" % InternalError().reply("id2").encode()
        ]
        assert ready.observed == [
            ("MEMCLEAR", "ok", 2.5),
            ("MEMCLEAR", "UNAVAILABLE", 2.5),
            ("MEMCOUNT", "ERR", 2.5),
            ("MEMCLEAR", "ERR", 2.5),
        ]

    def test_what_is_asked_first_counts(self, client: Client) -> None:
        """The time of a command begins when it is its turn, and whatever has to be asked of Redis before it runs is in
        it; not so the wait for a command that may block, which its client has sent itself."""
        client.sends("MEMINFO a")
        client.now = 2.0
        client.redis(passed(1))
        client.now = 2.5
        client.done(0, Unavailable("x"))
        client.sends("BLPOP list 0", "MEMINFO a")
        client.now = 12.5
        client.redis(b"*-1\r\n" + passed(2))
        client.now = 13.0
        client.done(1, Unavailable("x"))
        client.sends("GET a", "MEMINFO a")
        client.now = 14.0
        client.redis(b"$-1\r\n" + passed(3))
        client.done(2, Unavailable("x"))
        assert client.observed == [("MEMINFO", "UNAVAILABLE", seconds) for seconds in (2.5, 0.5, 1.0)]

    def test_failures_are_written_down(self, ready: Client) -> None:
        """What its client can do nothing about is; the reply says where, unless it is a line of Redis's own."""
        problems = [
            Unavailable("down"), RuntimeError("bug"), RedisRefused("OOM no memory"), RedisRefused("NOPERM no right"),
            BadMessage("no role"), WaitEnded()
        ]  # fmt: skip
        ready.sends(*(f"MEMINFO m{number}" for number in range(len(problems))))
        ready.now = 0.25
        replies = b"".join(
            reply[1:] for number, problem in enumerate(problems) for reply in ready.done(number, problem)
            if isinstance(reply, bytes)
        )  # fmt: skip
        assert [written[1:] for written in ready.log.failures] == [(problem, 0.25) for problem in problems[:3]]
        assert [line.endswith(b")") and line[-13:] for line in replies.split(b"\r\n")[:-1]] == [
            b"(request id1)", b"(request id2)", False, False, False, False
        ]  # fmt: skip
        assert replies.split(b"\r\n")[2] == b"-OOM no memory"

    def test_a_command_that_cannot_even_be_parsed(self) -> None:
        """A bug there is answered and written down like any other, and what follows is served."""

        def parse(*_: object) -> InfoRequest:
            raise KeyError("a bug")

        client = Client(commands={**COMMANDS, b"MEMINFO": replace(COMMANDS[b"MEMINFO"], parse=parse)}).ready()
        assert client.sends("MEMINFO a", "MEMCLEAR b") == [
            b"<-%b\r\n" % InternalError().reply("id1").encode(),
            "run MEMCLEAR",
        ]
        assert isinstance(client.log.failures[0][1], KeyError)

    def test_a_log_without_room(self, ready: Client) -> None:
        """A failure that is not written down has no id in its reply."""
        ready.log.has_room = False
        ready.sends("MEMINFO a")
        assert ready.done(0, RuntimeError("bug")) == [b"<-%b\r\n" % InternalError().reply().encode()]

    def test_a_result_that_cannot_be_rendered(self, ready: Client) -> None:
        """It is a bug of ours like any other, and what follows is answered."""
        ready.sends("MEMINFO a", "MEMCLEAR b")
        ready.done(1, 1)
        assert ready.done(0, "no info at all") == [b"<-%b\r\n:1\r\n" % InternalError().reply("id1").encode()]
        ((name, bug, _),) = ready.log.failures
        assert name == "MEMINFO"
        assert isinstance(bug, AttributeError)

    def test_slow_commands_are_written_down(self, ready: Client) -> None:
        """From the limit on; but not what its client asked to wait for, nor what is there already."""
        for number, line in enumerate(
            ["MEMINFO a", "MEMREAD b SINCE $ BLOCK 9000", "MEMLOCK c 1000 WAIT 9000", "MEMFLUSH d WAIT 9000"]
        ):
            ready.sends(line)
            assert len(ready.tickets) == number + 1
        ready.sends("MEMREAD e", "MEMLOCK f 1000", "MEMFLUSH g", "MEMCLEAR h", "MEMCLEAR i")
        ready.now = 0.4
        ready.done(7, 1)
        ready.now = 0.5
        for number in (0, 1, 2, 3, 4, 5, 6, 8):
            ready.done(number, Unavailable("down") if number == 8 else BadMessage("any"))
        assert [name for name, _ in ready.log.slow_ones] == ["MEMINFO", "MEMREAD", "MEMLOCK", "MEMFLUSH", "MEMCLEAR"]
        assert {seconds for _, seconds in ready.log.slow_ones} == {0.5}
        assert len(ready.log.failures) == 1

    def test_a_result_is_rendered(self, ready: Client) -> None:
        """A result becomes the reply that the command's row in the table makes of it."""
        ready.sends("MEMAPPEND a user x")
        (reply,) = ready.done(0, AppendResult("1-0", "1-0", 1, 1, 5, "none"))
        assert isinstance(reply, bytes)
        assert reply.startswith(b"<*14\r\n$8\r\nfirst-id\r\n$3\r\n1-0\r\n")
