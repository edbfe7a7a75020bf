"""The fence in every state of a connection, as a real Redis answers it, cut in every way."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer
from sidecar.resp.fence import Fence, Passed, Turn
from tests.support.children import Children, StartRedis

NONCE = b"0123456789abcdef0123456789abcdef"


def command(*words: bytes | str) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def inline(*lines: str) -> bytes:
    return b"".join(command(*line.split()) for line in lines)


class Connection:
    """A bare connection to Redis."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def until(self, ending: bytes) -> bytes:
        """Read up to the first `ending`, and what came with it."""
        received = b""
        while ending not in received:
            data = self._socket.recv(65_536)
            assert data, f"Redis closed after {received!r}"
            received += data
        return received

    def answers(self, *lines: str) -> bytes:
        """Send commands and return all of their replies."""
        self.send(inline(*lines, f"ECHO {'e' * 9}"))
        return self.until(b"$9\r\neeeeeeeee\r\n").removesuffix(b"$9\r\neeeeeeeee\r\n")

    def setup(self, line: str) -> None:
        """Send one command and wait for its reply."""
        self.send(inline(line) + command("zzready"))
        self.until(b"with args beginning with: \r\n")

    def single(self, line: str) -> bytes:
        """Send one command and return its reply, which is one line."""
        self.send(inline(line))
        return self.until(b"\r\n")

    def fenced(self, front: bytes, *, ask: bool = False) -> bytes:
        """Send `front` and a fence behind it, and return what comes up to the fence's end."""
        self.send(front + Fence(NONCE, ask=ask).request)
        received = self.until(b"ERR unknown command")
        while not received.endswith(b"\r\n"):
            received += self.until(b"\n")
        return received


@pytest.fixture(scope="module")
def port(shared_children: Children, redis_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis with users of different rights; `default` has a password."""
    server = shared_children.add(
        RedisServer(port=free_port(), directory=tmp_path_factory.mktemp("redis"), program=redis_program)
    )
    admin = Connection(server.port)
    admin.answers(
        "ACL SETUSER all on nopass ~* &* +@all",
        "ACL SETUSER noecho on nopass ~* &* +@all -echo",
        "ACL SETUSER default resetpass >secret",
    )
    yield server.port
    admin.close()
    server.stop()


@pytest.fixture
def redis(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    yield connection
    connection.close()


@pytest.fixture
def other(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    connection.answers("AUTH all x", "DEL list")
    yield connection
    connection.close()


@dataclass
class State:
    """One row: what brings the connection there, what stands right in front of the fence, and what the fence tells."""

    setup: str
    front: list[str]
    turn: Turn
    refusal: bytes = b""


ALL, NOECHO = "AUTH all x", "AUTH noecho x"
CANNOT = b"-ERR Can't execute 'echo'"
STATES: dict[str, State] = {
    "normal": State(ALL, [], Turn.RUN),
    "normal, behind a reply": State(ALL, ["GET none"], Turn.RUN),
    "normal, behind errors": State(ALL, ["SET s x", "LPUSH s x", "LPUSH s x"], Turn.RUN),
    "behind values that look like refusals": State(ALL, ["SET q +QUEUED", "SET n -NOAUTH", "GET q", "GET n"], Turn.RUN),
    "RESP3": State("HELLO 3 AUTH all x", ["GET none"], Turn.RUN),
    "not authenticated": State("PING", [], Turn.REFUSED, b"-NOAUTH Authentication required."),
    "not authenticated, behind commands": State("PING", ["GET k", "ECHO k"], Turn.REFUSED, b"-NOAUTH Auth"),
    "may not ECHO": State(NOECHO, ["GET none"], Turn.REFUSED, b"-NOPERM"),
    "may not ECHO, behind an ECHO": State(NOECHO, ["ECHO a"], Turn.REFUSED, b"-NOPERM"),
    "subscribed on RESP2": State(ALL, ["SUBSCRIBE a b"], Turn.REFUSED, CANNOT),
    "subscribed on RESP2, behind a refusal": State(ALL, ["SUBSCRIBE a", "GET k"], Turn.REFUSED, CANNOT),
    "subscribed on RESP2, behind an ECHO": State(ALL, ["SUBSCRIBE a", "ECHO a"], Turn.REFUSED, CANNOT),
    "subscribed on RESP3": State("HELLO 3 AUTH all x", ["SUBSCRIBE a b"], Turn.RUN),
    "no longer subscribed": State(ALL, ["SUBSCRIBE a b", "UNSUBSCRIBE"], Turn.RUN),
    "MULTI": State(ALL, ["MULTI"], Turn.IN_TRANSACTION),
    "MULTI with commands": State(ALL, ["MULTI", "GET a", "GET b"], Turn.IN_TRANSACTION),
    "MULTI on RESP3": State("HELLO 3 AUTH all x", ["MULTI", "GET a"], Turn.IN_TRANSACTION),
    "after EXEC": State(ALL, ["MULTI", "GET a", "EXEC"], Turn.RUN),
    "after DISCARD": State(ALL, ["MULTI", "GET a", "DISCARD"], Turn.RUN),
    "CLIENT REPLY SKIP": State(ALL, ["CLIENT REPLY SKIP"], Turn.SILENT),
    "CLIENT REPLY SKIP behind a reply": State(ALL, ["GET none", "CLIENT REPLY SKIP"], Turn.SILENT),
    "CLIENT REPLY SKIP used up": State(ALL, ["CLIENT REPLY SKIP", "GET a"], Turn.RUN),
    "CLIENT REPLY SKIP refused": State("PING", ["CLIENT REPLY SKIP"], Turn.REFUSED, b"-NOAUTH"),
    "after CLIENT REPLY OFF and ON": State(ALL, ["CLIENT REPLY OFF", "GET a", "CLIENT REPLY ON"], Turn.RUN),
    "after RESET": State(ALL, ["MULTI", "RESET"], Turn.REFUSED, b"-NOAUTH"),
}


def receive(pieces: list[bytes], *, ask: bool = False) -> tuple[bytes, list[Passed], bytes]:
    """Feed a fence; return what goes to the client, the outcomes, and what came behind."""
    fence = Fence(NONCE, ask=ask)
    client, behind = b"", b""
    passed: list[Passed] = []
    for piece in pieces:
        if passed:
            behind += piece
            continue
        before, outcome, after = fence.receive(piece)
        client, behind = client + before, behind + after
        passed += [outcome] if outcome else []
    return client, passed, behind


def in_every_way(data: bytes, *, ask: bool = False) -> tuple[bytes, Passed, bytes]:
    """Feed `data` whole, byte by byte and cut in two everywhere; all must agree."""
    whole = receive([data], ask=ask)
    assert receive([data[at : at + 1] for at in range(len(data))], ask=ask) == whole
    for cut in range(1, len(data)):
        assert receive([data[:cut], data[cut:]], ask=ask) == whole, cut
    client, (passed,), behind = whole
    return client, passed, behind


@pytest.mark.parametrize("name", STATES)
def test_states(port: int, redis: Connection, name: str) -> None:
    """In each state the outcome tells the state, and the client gets what it would have got without the fence."""
    state = STATES[name]
    redis.setup(state.setup)
    answered = redis.fenced(inline(*state.front))
    client, passed, behind = in_every_way(answered + b"+behind\r\n")
    assert (passed.turn, passed.protocol, behind) == (state.turn, None, b"+behind\r\n")
    assert passed.refusal.startswith(state.refusal)
    assert bool(passed.refusal) == (state.turn is Turn.REFUSED)
    assert b"\r" not in passed.refusal
    assert client == without_fence(port, state)


def without_fence(port: int, state: State) -> bytes:
    """Return what Redis answers to what stands in front of the fence when there is none."""
    twin = Connection(port)
    twin.setup(state.setup)
    twin.send(inline(*state.front, "zzone", "zztwo"))  # SKIP would swallow the first
    received = twin.until(b"zztwo")
    twin.close()
    return received.partition(b"-ERR unknown command")[0]


@pytest.mark.parametrize(
    ("setup", "front", "protocol"),
    [
        (ALL, ["GET none"], 2),
        ("HELLO 3 AUTH all x", ["GET none"], 3),
        (ALL, ["HELLO 3"], 3),
        (ALL, ["HELLO 3", "HELLO 2"], 2),
        ("HELLO 3 AUTH all x", ["RESET", "AUTH all x"], 2),
        (ALL, ["HELLO 4"], 2),
        (ALL, ["MULTI", "HELLO 3", "EXEC"], 3),
        ("HELLO 3 AUTH all x", ["SUBSCRIBE a b"], 3),
    ],
)
def test_the_protocol(redis: Connection, setup: str, front: list[str], protocol: int) -> None:
    """A fence that asks tells which protocol the connection speaks."""
    redis.setup(setup)
    redis.fenced(inline(*front))
    client, passed, behind = in_every_way(redis.fenced(b"", ask=True) + b":1\r\n", ask=True)
    assert (client, passed, behind) == (b"", Passed(Turn.RUN, protocol=protocol, user=b"all"), b":1\r\n")


def test_a_server_without_hello(start_redis: StartRedis) -> None:
    """Where an operator has taken HELLO away, the outcome says that the protocol was not told."""
    connection = Connection(start_redis("--rename-command", "HELLO", "").port)
    client, passed, _ = in_every_way(connection.fenced(inline("HELLO 3"), ask=True), ask=True)
    connection.close()
    assert client.count(b"\r\n") == 1
    assert passed == Passed(Turn.RUN, protocol=None, user=b"default")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_user_who_may_not_ask_who_it_is(redis: Connection, other: Connection, protocol: int) -> None:
    """Where ACL WHOAMI is refused, the outcome says that the user was not told; the refusal is nobody's business."""
    other.answers("ACL SETUSER plain on nopass ~* +@all -acl")
    redis.setup(f"HELLO {protocol} AUTH plain x")
    client, passed, _ = in_every_way(redis.fenced(b"", ask=True), ask=True)
    assert (client, passed) == (b"", Passed(Turn.RUN, protocol=protocol, user=None))


def test_pushes_among_the_answers() -> None:
    """What Redis pushes between the answers to a fence's questions reaches the client, whole and in order."""
    pushes = [
        b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
        b'+1700000000.1 [0 unix:] "GET" "a"\r\n',
        b">1\r\n+x\r\n",
    ]
    hello = b"%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*1\r\n$4\r\npath\r\n"
    echo, end = b"$%d\r\n%b\r\n" % (len(NONCE), NONCE), b"-ERR unknown command '%b'\r\n" % NONCE
    stream = echo + pushes[0] + hello + pushes[1] + b"$3\r\nall\r\n" + pushes[2] + end
    client, passed, _ = in_every_way(stream, ask=True)
    assert (client, passed) == (b"".join(pushes), Passed(Turn.RUN, protocol=3, user=b"all"))


def test_a_transaction_with_a_fence_in_it_fails(redis: Connection) -> None:
    """Inside MULTI the fence makes EXEC fail, as any unknown command does, so that nothing runs by half."""
    redis.setup(ALL)
    redis.fenced(inline("MULTI", "SET exec x"))
    redis.send(inline("EXEC", "EXISTS exec"))
    assert redis.until(b":0\r\n").startswith(b"-EXECABORT")


def test_replies_off(redis: Connection) -> None:
    """Under CLIENT REPLY OFF a fence comes back in no part, which is why none is sent then."""
    redis.setup(ALL)
    redis.send(inline("CLIENT REPLY OFF") + Fence(NONCE, ask=True).request + inline("CLIENT REPLY ON", "PING"))
    assert redis.until(b"+PONG\r\n") == b"+OK\r\n+PONG\r\n"


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_behind_a_blocking_command(redis: Connection, other: Connection, protocol: str) -> None:
    """A fence behind BLPOP comes after BLPOP's reply and is no timeout for it."""
    redis.setup(f"HELLO {protocol} AUTH all x")
    redis.send(inline("BLPOP list 0") + Fence(NONCE, ask=False).request)
    other.answers("RPUSH list element")
    answered = redis.until(b"beginning with: \r\n")
    client, passed, _ = in_every_way(answered)
    assert client == b"*2\r\n$4\r\nlist\r\n$7\r\nelement\r\n"
    assert passed == Passed(Turn.RUN)


def test_monitor(redis: Connection, other: Connection) -> None:
    """Under MONITOR the lines of other clients go on to the client, in front of the fence and behind it."""
    redis.setup(ALL)
    redis.send(inline("MONITOR"))
    redis.until(b"+OK\r\n")
    other.answers("GET before")
    front = redis.until(b'"ECHO" "eeeeeeeee"\r\n')
    answered = redis.fenced(b"")
    other.answers("GET behind")
    later = redis.until(b'"ECHO" "eeeeeeeee"\r\n')
    client, passed, behind = in_every_way(front + answered + later)
    assert passed == Passed(Turn.RUN)
    assert behind == later
    assert client.startswith(front)
    assert all(line.startswith(b"+") for line in client.splitlines())


def test_pushes_around_a_fence(redis: Connection, other: Connection) -> None:
    """On a RESP3 subscription, messages in front of the fence and behind it reach the client."""
    redis.setup("HELLO 3 AUTH all x")
    redis.send(inline("SUBSCRIBE news"))
    redis.until(b":1\r\n")
    other.answers("PUBLISH news one")
    one = redis.until(b"one\r\n")
    answered = redis.fenced(b"")
    other.answers("PUBLISH news two")
    two = redis.until(b"two\r\n")
    assert in_every_way(one + answered + two) == (one, Passed(Turn.RUN), two)


def test_a_push_inside_a_fence() -> None:
    """A message that Redis sends between the two halves of a fence, which it may read one by one, is not lost."""
    message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
    answered = b"$32\r\n%b\r\n%b-ERR unknown command '%b', with args beginning with: \r\n" % (NONCE, message, NONCE)
    client, passed, behind = in_every_way(b":1\r\n" + answered)
    assert (client, passed, behind) == (b":1\r\n" + message, Passed(Turn.RUN), b"")


def test_a_server_that_is_busy(redis: Connection, other: Connection, port: int) -> None:
    """While Redis runs an endless script it refuses the fence, and the refusal tells why."""
    redis.setup(ALL)
    killer = Connection(port)
    killer.setup(ALL)
    killer.answers("CONFIG SET lua-time-limit 1")
    other.send(command("EVAL", "while true do end", "0"))
    deadline = time.monotonic() + 5
    while b"-BUSY" not in killer.single("GET k"):
        assert time.monotonic() < deadline
    client, passed, _ = in_every_way(redis.fenced(inline("GET k")))
    killer.single("SCRIPT KILL")
    other.until(b"-ERR")
    killer.close()
    assert client.startswith(b"-BUSY")
    assert (passed.turn, passed.refusal[:6]) == (Turn.REFUSED, b"-BUSY ")
    assert client.count(b"\r\n") == 1


def test_what_is_held_when_redis_goes(redis: Connection) -> None:
    """When the fence will not come, the client still gets its own last bytes, and none of the fence's."""
    redis.setup(ALL)
    answered = redis.fenced(inline("GET none"))
    own = b"$-1\r\n"
    for cut in range(len(own), answered.index(b"-ERR")):
        fence = Fence(NONCE, ask=False)
        before, passed, _ = fence.receive(answered[:cut])
        assert passed is None
        assert before + fence.release() == own
    fence = Fence(NONCE, ask=False)
    before, _, _ = fence.receive(b"-LOADING data\r\n-ERR half")
    assert before + fence.release() == b"-LOADING data\r\n-ERR half"


@pytest.mark.parametrize(
    "filler", [b"-", b"+", b"-NOAUTH", b"$", b"$32\r\n", b"0", b"-ERR unknown command '", NONCE[:31]]
)
def test_long_values_cost_no_more_than_their_length(filler: bytes) -> None:
    """A value full of what the fence looks for is searched in time that grows with its length, not its square."""
    fence = Fence(NONCE, ask=False)
    value = filler * (1_000_000 // len(filler))
    begun = time.process_time()
    passed = b"".join(fence.receive(value[at : at + 65_536])[0] for at in range(0, len(value), 65_536))
    assert time.process_time() - begun < 1
    assert value.startswith(passed)
    assert len(value) - len(passed) < 2_000


def test_an_error_with_the_nonce_far_behind_its_start() -> None:
    """Only an error line that begins right in front of the nonce ends the fence."""
    for line in (b"+%b\r\n" % NONCE, b"-%b %b\r\n" % (b"x" * 100, NONCE), b"x-ERR %b\r\n" % NONCE):
        assert receive([line])[1] == []


def test_the_request() -> None:
    """The fence is two commands, and three where it asks for the protocol, in one piece."""
    assert Fence(NONCE, ask=False).request == command("ECHO", NONCE) + command(NONCE)
    assert Fence(NONCE, ask=True).request == (
        command("ECHO", NONCE) + command("HELLO") + command("ACL", "WHOAMI") + command(NONCE)
    )
