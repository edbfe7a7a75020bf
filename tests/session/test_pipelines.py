"""The session against a small Redis and random pipelines: order of effects and of replies."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import BadMessage
from sidecar.session.actions import Action, Identify, Run, Ticket, ToClient, ToRedis
from tests.support.transcripts import Client, client_bytes, command, redis_bytes


class FakeRedis:
    """Answers `GET n` with the number n, and fences as Redis does."""

    def __init__(self, executed: Callable[[int], None]) -> None:
        self._executed = executed
        self._received = b""
        self.answers = b""

    def receive(self, data: bytes) -> None:
        self._received += data
        while (words := self._next()) is not None:
            if words[0] == b"GET":
                self._executed(int(words[1]))
                self.answers += b":%b\r\n" % words[1]
            elif words[0] == b"ECHO":
                self.answers += b"$%d\r\n%b\r\n" % (len(words[1]), words[1])
            else:
                self.answers += b"-ERR unknown command '%b', with args beginning with: \r\n" % words[0]

    def _next(self) -> list[bytes] | None:
        lines = self._received.split(b"\r\n")
        count = int(lines[0][1:]) if lines[0] else 0
        if not count or len(lines) < 2 * count + 2:
            return None
        self._received = b"\r\n".join(lines[2 * count + 1 :])
        return lines[2 : 2 * count + 1 : 2]


LINES = st.one_of(st.just("GET"), st.sampled_from(["MEMCLEAR a", "MEMCLEAR b", "MEMAPPEND a user", "MEMCOUNT"]))


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=14), st.data())
def test_random_pipelines(lines: list[str], draw: st.DataObject) -> None:
    """Whatever is sent, cut and answered in whatever order: effects and replies come in the order of the commands."""
    client = Client()
    short_way = draw.draw(st.booleans())
    numbered = [
        f"{line} {number}" if line != "MEMCLEAR a" and line != "MEMCLEAR b" else line
        for number, line in enumerate(lines)
    ]
    finished: set[int] = set()
    running: dict[int, tuple[Ticket, str]] = {}
    mem = [number for number, line in enumerate(lines) if line != "GET"]
    received = b""
    unknown = False  # whether the session waits to hear as whom its commands run

    def executed(number: int) -> None:
        assert all(before in finished for before in range(number))
        assert not running
        finished.add(number)

    redis = FakeRedis(executed)
    to_send = b"".join(map(command, numbered))

    def perform(actions: list[Action]) -> None:
        nonlocal received, unknown
        for action in actions:
            match action:
                case ToRedis(data):
                    redis.receive(data)
                case ToClient(data):
                    received += data
                case Identify():
                    unknown = True
                case Run(ticket):
                    number = mem[len(client.tickets)]
                    client.tickets.append(ticket)
                    assert all(before in finished for before in range(number) if lines[before] == "GET")
                    same = [line for other, line in running.values() if other.memories == ticket.memories != ()]
                    assert all(line == lines[number] == "MEMAPPEND a user" for line in same)
                    running[number] = ticket, lines[number]

    while to_send or redis.answers or running or unknown:
        choices = [
            bool(to_send) * "send",
            bool(redis.answers) * "redis",
            bool(running) * "finish",
            unknown * "identify",
        ]
        match draw.draw(st.sampled_from([choice for choice in choices if choice])):
            case "send":
                cut = draw.draw(st.integers(1, len(to_send)))
                data, to_send = to_send[:cut], to_send[cut:]
                session = client.session
                perform(client_bytes(session, data, 0.0) if short_way else session.client_bytes(data, 0.0))
            case "redis":
                cut = draw.draw(st.integers(1, len(redis.answers)))
                data, redis.answers = redis.answers[:cut], redis.answers[cut:]
                session = client.session
                perform(redis_bytes(session, data, 0.0) if short_way else session.redis_bytes(data, 0.0))
            case "identify":
                unknown = False
                perform(client.session.identified(None, 0.0))
            case _:
                number = draw.draw(st.sampled_from(sorted(running)))
                ticket, _ = running.pop(number)
                finished.add(number)
                perform(client.session.completed(ticket, BadMessage(str(number)), 0.0))
    assert received == b"".join(
        b":%d\r\n" % number if line == "GET" else b"-BADMESSAGE %d\r\n" % number for number, line in enumerate(lines)
    )
    assert client.idle()
