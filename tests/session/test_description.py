"""COMMAND in a session, as transcripts: our commands are in Redis's answer, and the order of everything stays.

What is put into which answer is shown in `commands.test_merging`; here: when, and when not.
"""

from __future__ import annotations

import pytest

from sidecar.commands.merging import merge
from sidecar.commands.table import COMMANDS
from sidecar.resp.watched import MAX_DESCRIBED_NAMES, MAX_REPLY_WORD_BYTES
from sidecar.session import description as module
from tests.support.transcripts import NOPERM, Client, Step, command, fence, passed

OURS = len(COMMANDS)
COUNT = b":240\r\n"
MERGED = b":%d\r\n" % (240 + OURS)
PUSH = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"
SUBSCRIBED = b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
HELLO_3 = b"%1\r\n$5\r\nproto\r\n:3\r\n"


def received(steps: list[Step]) -> bytes:
    """Return what the client gets."""
    return b"".join(step[1:] for step in steps if isinstance(step, bytes) and step[:1] == b"<")


class TestTheAnswer:
    def test_between_two_fences(self, client: Client) -> None:
        """COMMAND waits until all before it is answered, and its own answer is what stands before the next fence."""
        assert client.sends("GET a", "COMMAND COUNT", "GET b") == [b">" + command("GET a") + fence(1)]
        assert client.redis(b"$1\r\nx\r\n" + passed(1)) == [
            b"<$1\r\nx\r\n",
            b">" + command("COMMAND COUNT") + fence(2),
        ]
        assert client.redis(COUNT + passed(2)) == [b"<" + MERGED, b">" + command("GET b")]
        assert client.redis(b"$1\r\ny\r\n") == [b"<$1\r\ny\r\n"]

    @pytest.mark.parametrize("line", [b"command  Count\r\n", b"*2\r\n$7\r\nCoMmAnD\r\n$5\r\ncount\r\n"])
    def test_in_any_spelling(self, ready: Client, line: bytes) -> None:
        """In any case, inline too, and Redis gets the bytes as they came."""
        assert ready.sends(line) == [b">" + line + fence(2)]
        assert ready.redis(COUNT + passed(2)) == [b"<" + MERGED]

    def test_cut_anywhere(self) -> None:
        """However the request and the answer are cut, the client gets one whole answer."""
        sent, answer = command("COMMAND COUNT"), COUNT + passed(2)
        for size in (1, 2, 5, 9):
            client = Client().ready()
            steps: list[Step] = []
            for start in range(0, len(sent), size):
                steps += client.sends(sent[start : start + size])
            assert steps == [b">" + sent + fence(2)]
            steps = []
            for start in range(0, len(answer), size):
                steps += client.redis(answer[start : start + size])
            assert steps == [b"<" + MERGED]

    def test_one_behind_the_other(self, ready: Client) -> None:
        """Several of them, and ours among them, are answered in their order."""
        assert ready.sends("COMMAND COUNT", "MEMCLEAR a", "COMMAND COUNT") == [
            b">" + command("COMMAND COUNT") + fence(2)
        ]
        assert ready.redis(COUNT + passed(2)) == [b"<" + MERGED, "run MEMCLEAR"]
        assert ready.sends("COMMAND COUNT") == []
        assert ready.done(0, 1) == [b"<:1\r\n", b">" + command("COMMAND COUNT") + fence(3)]
        assert ready.redis(COUNT + passed(3)) == [b"<" + MERGED, b">" + command("COMMAND COUNT") + fence(4)]
        assert ready.redis(COUNT + passed(4)) == [b"<" + MERGED]
        assert ready.idle()

    def test_an_error(self, ready: Client) -> None:
        """A user who may not ask gets Redis's error."""
        refused = b"-NOPERM this user has no permissions to run the 'command' command\r\n"
        ready.sends("COMMAND COUNT")
        assert ready.redis(refused + passed(2)) == [b"<" + refused]

    def test_pushes_before_and_after_it(self, ready: Client) -> None:
        """Pushes that come with the answer stay whole, and in their places."""
        ready.sends("COMMAND COUNT")
        assert ready.redis(PUSH[:9]) == []
        assert ready.redis(PUSH[9:] + COUNT + PUSH + passed(2)) == [b"<" + PUSH + MERGED + PUSH]

    @pytest.mark.parametrize("cut", range(1, len(SUBSCRIBED)))
    def test_half_a_push_in_front(self, ready: Client, cut: int) -> None:
        """Behind half a push nothing is put in: the other half could be taken for the answer."""
        first, second = SUBSCRIBED[:cut], SUBSCRIBED[cut:]
        assert ready.redis(first) == []
        assert ready.sends("COMMAND COUNT") == [b"<" + first, b">" + command("COMMAND COUNT")]
        assert ready.redis(second + COUNT) == [b"<" + second + COUNT]

    def test_on_resp3(self, client: Client) -> None:
        """Which protocol the connection speaks is asked first, because ours have to be written in it."""
        assert client.sends("HELLO 3", "COMMAND") == [b">" + command("HELLO 3") + fence(1)]
        assert client.redis(HELLO_3 + passed(1)) == [b"<" + HELLO_3, b">" + fence(2, ask=True)]
        assert client.redis(passed(2, hello=HELLO_3, user=NOPERM)) == [b">" + command("COMMAND") + fence(3)]
        theirs = b"*1\r\n*10\r\n$3\r\nget\r\n:2\r\n~0\r\n:1\r\n:1\r\n:1\r\n~0\r\n~0\r\n~0\r\n~0\r\n"
        reply = received(client.redis(theirs + passed(3)))
        assert reply == merge([b"COMMAND"], theirs, COMMANDS, 3) != merge([b"COMMAND"], theirs, COMMANDS, 2)


class TestAsItIs:
    """Where a fence would do harm, or would not come back, Redis's answer passes as it is."""

    def test_in_a_transaction(self, client: Client) -> None:
        """In MULTI, where a fence would make EXEC fail; after EXEC it is as before."""
        sent = ["MULTI", "COMMAND COUNT", "SET a 1", "EXEC"]
        assert client.sends(*sent) == [b">" + b"".join(map(command, sent))]
        replies = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:240\r\n+OK\r\n"
        assert client.redis(replies) == [b"<" + replies]
        assert client.sends("COMMAND COUNT") == [b">" + fence(1)]
        assert client.redis(passed(1)) == [b">" + command("COMMAND COUNT") + fence(2)]
        assert client.redis(COUNT + passed(2)) == [b"<" + MERGED]

    def test_in_a_transaction_that_a_fence_told_of(self, client: Client) -> None:
        """Also when a MEM command's fence has found the transaction."""
        client.sends("MULTI", "MEMCLEAR a")
        client.redis(b"+OK\r\n" + passed(1, echo=b"+QUEUED\r\n"))
        assert client.sends("COMMAND COUNT") == [b">" + command("COMMAND COUNT")]
        assert client.redis(b"+QUEUED\r\n") == [b"<+QUEUED\r\n"]

    def test_under_reply_off(self, ready: Client) -> None:
        """Under CLIENT REPLY OFF there is no answer; after ON there is one again, with ours in it."""
        ready.sends("CLIENT REPLY OFF")
        assert ready.sends("COMMAND COUNT") == [b">" + command("COMMAND COUNT")]
        assert ready.sends("CLIENT REPLY ON", "COMMAND COUNT") == [b">" + command("CLIENT REPLY ON") + fence(2)]
        assert ready.redis(b"+OK\r\n" + passed(2)) == [b"<+OK\r\n", b">" + command("COMMAND COUNT") + fence(3)]
        assert ready.redis(COUNT + passed(3)) == [b"<" + MERGED]

    def test_behind_reply_skip(self, client: Client) -> None:
        """Behind CLIENT REPLY SKIP there is none either; a fence would be skipped in its place, and the answer come."""
        assert client.sends("CLIENT REPLY SKIP", "COMMAND COUNT") == [
            b">" + command("CLIENT REPLY SKIP") + command("COMMAND COUNT")
        ]
        assert client.sends("COMMAND COUNT") == [b">" + fence(1)]
        assert client.redis(passed(1)) == [b">" + command("COMMAND COUNT") + fence(2)]
        assert client.redis(COUNT + passed(2)) == [b"<" + MERGED]

    def test_behind_reply_skip_of_a_mem_command(self, ready: Client) -> None:
        """The skipped reply was the MEM command's, so COMMAND behind it is answered."""
        assert ready.sends("CLIENT REPLY SKIP", "MEMCLEAR a", "COMMAND COUNT") == [
            b">" + command("CLIENT REPLY SKIP") + fence(2)
        ]
        assert ready.redis(passed(2, echo=b"")) == ["run MEMCLEAR"]
        assert ready.done(0, 1) == [b">" + command("COMMAND COUNT") + fence(3)]
        assert ready.redis(COUNT + passed(3)) == [b"<" + MERGED]

    def test_where_redis_refuses(self, client: Client) -> None:
        """Subscribed on RESP2, or not logged in, Redis's error is the answer."""
        refused = b"-NOAUTH Authentication required.\r\n"
        client.sends("COMMAND COUNT")
        assert client.redis(passed(1, echo=refused)) == [b">" + command("COMMAND COUNT")]
        assert client.redis(refused) == [b"<" + refused]

    @pytest.mark.parametrize(
        "words", [["x" * (MAX_REPLY_WORD_BYTES + 1)], ["x"] * MAX_DESCRIBED_NAMES], ids=["long", "many"]
    )
    def test_a_request_that_is_too_large(self, ready: Client, words: list[str]) -> None:
        """A request that is too large to be looked at passes in pieces, without a fence in the middle of it."""
        sent = command(" ".join(["COMMAND", "INFO", *words]))
        steps: list[Step] = []
        for start in range(0, len(sent), 20):
            steps += ready.sends(sent[start : start + 20])
        assert b"".join(step[1:] for step in steps if isinstance(step, bytes)) == sent
        assert ready.redis(b"*1\r\n*-1\r\n") == [b"<*1\r\n*-1\r\n"]

    def test_an_answer_that_is_too_long(self, ready: Client) -> None:
        """An answer past the limit is handed on as it comes, and not kept."""
        start = b"*1\r\n$%d\r\n" % (2 * module.MAX_DESCRIPTION_BYTES)
        part = b"x" * (module.MAX_DESCRIPTION_BYTES // 2)
        ready.sends("COMMAND LIST FILTERBY PATTERN none*")
        assert ready.redis(start + part) == []
        assert received(ready.redis(part)) == start + part + part
        assert received(ready.redis(part)) == part
        assert received(ready.redis(part + b"\r\n" + passed(2))) == part + b"\r\n"
        assert ready.idle()


class TestEnds:
    def test_redis_goes_in_the_middle(self, ready: Client) -> None:
        """What had come of the answer is not held back when Redis goes."""
        ready.sends("COMMAND LIST", "GET a")
        assert ready.redis(b"*2\r\n$3\r\nget\r\n$3\r\ns") == []
        (reply, *rest) = ready.loses_redis()
        assert isinstance(reply, bytes)
        assert reply.endswith(b"$3\r\nget\r\n$3\r\ns")
        assert rest == ["close client"]

    def test_the_client_goes_first(self, ready: Client) -> None:
        """A client that ends its half behind the question still gets the answer."""
        ready.sends("COMMAND COUNT")
        assert ready.leaves() == []
        assert ready.redis(COUNT + passed(2)) == [b"<" + MERGED, "close redis"]
        assert ready.loses_redis() == ["close client"]
