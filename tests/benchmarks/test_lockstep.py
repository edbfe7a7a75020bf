"""Exact numbers of requests, sent together."""

from __future__ import annotations

import socket
import threading
from itertools import count, cycle

import pytest
import redis

from benchmarks.client import LoadFailed
from benchmarks.load import pack
from benchmarks.lockstep import Lockstep
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer


@pytest.mark.parametrize(("used", "sent"), [(None, 3 * 4 * 5), (2, 2 * 4 * 5)])
def test_the_number_of_requests_is_exact(
    redis_server: RedisServer, redis_url: str, used: int | None, sent: int
) -> None:
    """Redis has executed exactly connections times pipeline times turns, and all of it when `send` returns."""
    with Lockstep(redis_server.port, connections=3) as lockstep, redis.Redis.from_url(redis_url) as client:
        assert lockstep.send(cycle([pack("INCR", "sent")]), pipeline=4, turns=5, connections=used) == sent
        assert client.get("sent") == b"%d" % sent


def test_the_next_load_goes_on_where_the_last_one_ended(redis_server: RedisServer, redis_url: str) -> None:
    """Requests come from one source, in turn over the connections, and none of it is thrown away."""
    requests = (pack("SADD", "seen", number) for number in count())
    with Lockstep(redis_server.port, connections=2) as lockstep, redis.Redis.from_url(redis_url) as client:
        lockstep.send(requests, pipeline=2, turns=1)
        lockstep.send(requests, pipeline=3, turns=1)
        assert client.smembers("seen") == {b"%d" % number for number in range(10)}


def test_a_refused_request_ends_it(redis_server: RedisServer, redis_url: str) -> None:
    """An error reply is no reply to count."""
    assert redis_url
    with Lockstep(redis_server.port, connections=1) as lockstep, pytest.raises(LoadFailed, match="unknown command"):
        lockstep.send(cycle([pack("NOSUCH")]), pipeline=1, turns=1)


def test_a_server_that_leaves() -> None:
    """A closed connection is told as what it is."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def leave() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)

        leaving = threading.Thread(target=leave)
        leaving.start()
        with Lockstep(listener.getsockname()[1], connections=1) as lockstep, pytest.raises(LoadFailed):
            lockstep.send(cycle([b"*1\r\n$4\r\nPING\r\n"]), pipeline=1, turns=1)
        leaving.join()


def test_nobody_listens() -> None:
    """So is a port without a server."""
    with pytest.raises(LoadFailed, match="takes no connection"), Lockstep(free_port(), connections=1):
        pass
