"""The budget for unfinished and waiting requests: by itself, and with clients of a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from structlog.testing import capture_logs

from sidecar.commands.table import COMMANDS
from sidecar.dev.servers import RedisServer
from sidecar.metrics import Metrics
from sidecar.net.command_log import CommandLog
from sidecar.net.held_budget import HeldBudget
from sidecar.net.listener import Listener
from sidecar.net.server import Server
from sidecar.net.upstream import Upstream
from tests.net.conftest import Executed, Front, Fronts, Talk
from tests.net.test_connection import command
from tests.support.addressing import addressing
from tests.support.waiting import eventually

KIB = 1024

COUNTED = b"*1\r\n:7\r\n"
"""What a client gets for one text, where seven tokens stand in for what the memory service would count."""


@dataclass(eq=False)
class Client:
    """A holder that notes what it was told."""

    told: list[tuple[int, int]] = field(default_factory=list)

    def over_budget(self, held_bytes: int, all_held_bytes: int) -> None:
        self.told.append((held_bytes, all_held_bytes))


class TestBudget:
    def test_within_it_nobody_is_told(self) -> None:
        """What all hold is the sum of what each reported last, and up to the limit it concerns nobody."""
        budget, one, two = HeldBudget(100), Client(), Client()
        for one_holds, two_holds in ((10, 0), (60, 40), (0, 100), (99, 1), (0, 0)):
            budget.report(one, 0)
            budget.report(two, two_holds)
            budget.report(one, one_holds)
            assert budget.held_bytes == one_holds + two_holds
        assert not one.told + two.told

    def test_beyond_it_the_greatest_has_to_go(self) -> None:
        """The client that holds most is told, not the one that came last, and is not counted any more."""
        budget, small, great, last = HeldBudget(100), Client(), Client(), Client()
        budget.report(small, 30)
        budget.report(great, 50)
        budget.report(last, 21)
        assert (small.told, great.told, last.told) == ([], [(50, 101)], [])
        assert budget.held_bytes == 51
        budget.report(great, 0)
        assert budget.held_bytes == 51

    def test_the_one_that_reports_may_be_the_greatest(self) -> None:
        """A client that grows past the others is told itself."""
        budget, small, great = HeldBudget(100), Client(), Client()
        budget.report(small, 49)
        budget.report(great, 51)
        budget.report(great, 52)
        assert (small.told, great.told) == ([], [(52, 101)])

    def test_the_only_one_is_bounded_by_its_own_limits(self) -> None:
        """While nobody else holds anything, nobody is told; the next one to hold something changes that."""
        budget, lone, other = HeldBudget(100), Client(), Client()
        budget.report(lone, 104)
        assert not lone.told
        budget.report(other, 1)
        assert (lone.told, other.told) == ([(104, 105)], [])

    def test_whatever_is_reported(self) -> None:
        """After each of thousands of reports, the sum is right, and within the limit unless it is one client's."""
        random = Random(3)
        budget, clients = HeldBudget(1000), [Client() for _ in range(30)]
        held: dict[Client, int] = {}
        for _ in range(5000):
            client = random.choice(clients)
            held[client] = random.choice((0, random.randrange(200)))
            budget.report(client, held[client])
            for each in clients:
                if each.told:
                    assert each.told.pop()[0] == max(held.values())
                    held[each] = 0
            assert budget.held_bytes == sum(held.values()) <= 1000


def half(size: int) -> bytes:
    """Return the beginning of a request of twice `size` bytes, of which `size` come."""
    return command("MEMCOUNT", "x" * 2 * size)[: -size - 2]


def rest(size: int) -> bytes:
    return b"x" * size + b"\r\n"


async def took(front: Front, sent: int) -> None:
    await eventually(lambda: front.metrics.client_bytes_in >= sent, why="the server has not read all")


async def gone(client: Talk) -> bool:
    """Whether this client has been disconnected; what it has not read is lost to it."""
    try:
        return not await client.rest()
    except ConnectionError:
        return True


@pytest.fixture
async def front(start_front: Fronts, redis_server: RedisServer) -> Front:
    """A server for clients that may hold a mebibyte together."""
    front = await start_front(redis_server.port, max_held_bytes=1024 * KIB)
    front.executed.answer = [7]
    return front


class TestConnections:
    async def test_who_holds_most_is_disconnected(self, front: Front) -> None:
        """Beyond the limit the greatest unfinished request costs its client the connection, and others are served."""
        greedy, modest, innocent = [await front.connect() for _ in range(3)]
        await innocent.ask(command("PING"), b"+PONG\r\n")
        greedy.writer.write(half(600 * KIB))
        await took(front, 600 * KIB)
        with capture_logs() as logs:
            modest.writer.write(half(500 * KIB))
            assert await gone(greedy)
        await modest.ask(rest(500 * KIB), COUNTED)
        await innocent.ask(command("PING") + command("MEMCOUNT", "a"), b"+PONG\r\n" + COUNTED)
        assert front.metrics.clients_over_held_limit == 1
        (line,) = [log for log in logs if log["event"] == "client.held_limit"]
        assert 1024 * KIB < line["all_held_bytes"] < 1200 * KIB
        assert 600 * KIB <= line["held_bytes"] < 601 * KIB
        await eventually(lambda: front.metrics.clients == 2, why="the greedy client is still counted")

    async def test_what_is_answered_is_held_no_more(self, front: Front) -> None:
        """Requests that come one after another, or whose client leaves, add up to nothing."""
        clients = [await front.connect() for _ in range(3)]
        for client in clients:
            client.writer.write(half(400 * KIB))
            await client.ask(rest(400 * KIB), COUNTED)
        for left, client in enumerate(reversed(clients)):
            client.writer.write(half(900 * KIB))
            await client.writer.drain()
            await client.close()
            await eventually(lambda: front.metrics.clients == 2 - left, why="a client is still counted")  # noqa: B023
        last = await front.connect()
        last.writer.write(half(900 * KIB))
        await last.ask(rest(900 * KIB), COUNTED)
        assert front.metrics.clients_over_held_limit == 0

    async def test_waiting_and_running_commands_count(self, start_front: Fronts, redis_server: RedisServer) -> None:
        """What waits behind a blocking command, or runs, is held as an unfinished request is."""
        front = await start_front(redis_server.port, max_held_bytes=1024 * KIB, at_once=False)
        blocked, running, last = [await front.connect() for _ in range(3)]
        count = command("MEMCOUNT", "x" * 400 * KIB)
        blocked.writer.write(command("BLPOP", "nothing", "0") + count + count)
        await took(front, 800 * KIB)
        running.writer.write(count)
        assert await gone(blocked)
        await eventually(lambda: len(front.executed.waiting) == 1, why="the command does not run")
        last.writer.write(half(700 * KIB))
        assert await gone(last)
        front.executed.waiting.pop()([7])
        await running.expect(COUNTED)
        assert front.metrics.clients_over_held_limit == 2

    async def test_a_lone_request_of_the_greatest_size_is_served(self, front: Front) -> None:
        """A client that nobody shares the budget with is bounded by its own limits only."""
        client = await front.connect()
        client.writer.write(half(1024 * KIB))
        await client.ask(rest(1024 * KIB), COUNTED)
        assert front.metrics.clients_over_held_limit == 0


async def test_what_comes_before_there_is_an_upstream_counts() -> None:
    """Bytes that wait for the connection to Redis are held too, and are not executed for who is disconnected."""
    metrics, executed = Metrics(), Executed()
    opened = asyncio.Event()

    async def dial(factory: Callable[[], Upstream]) -> Upstream:
        await opened.wait()
        raise ConnectionRefusedError

    server = Server(
        dial=dial,
        commands=COMMANDS,
        resolve=addressing().resolve,
        identify=executed.identify,
        command_log=CommandLog(slow_ms=0),
        metrics=metrics,
        max_held_bytes=15_000,
    )
    listener = Listener(server.accept, address="127.0.0.1:0")
    port = await listener.open()
    try:
        first, second = [Talk(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(2)]
        first.writer.write(b"x" * 9_000)
        await eventually(lambda: metrics.clients == 2, why="the clients are not there")
        second.writer.write(b"x" * 8_000)
        assert await gone(first)
        assert (metrics.clients_over_held_limit, metrics.clients) == (1, 1)
        opened.set()
        assert await gone(second)
    finally:
        await listener.close()
        await server.close(0.0)
    assert not executed.requests
