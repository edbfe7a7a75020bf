"""The questions to a starting server: a yes only for the right answer, a no for everything else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.probes import accepts, http_succeeds, redis_answers
from sidecar.dev.servers import RedisServer


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """A server that answers the first request of one connection with `reply` and closes."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_nobody_there() -> None:
    """A port on which nobody listens is a no for every probe."""
    port = free_port()
    assert not accepts(port)
    assert not redis_answers(port, 1)
    assert not http_succeeds(port, "/")


def test_the_real_redis_answers(redis_server: RedisServer) -> None:
    """A running Redis is a yes under its own process id, and a no under any other."""
    assert accepts(redis_server.port)
    assert redis_answers(redis_server.port, redis_server.pid)
    assert not redis_answers(redis_server.port, redis_server.pid + 1)


@pytest.mark.parametrize(
    ("reply", "yes"),
    [
        (b"+PONG\r\n$20\r\nprocess_id:7\r\nx:12345\r\n", True),
        (b"-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n", True),
        (b"-LOADING Redis is loading the dataset in memory\r\n", False),
        (b"+PONG\r\n$14\r\nprocess_id:71\r\n\r\n", False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
    ],
)
def test_redis_answers(reply: bytes, yes: bool) -> None:
    """Only a Redis that answers PING and has our process id, or asks for a password, is ready."""
    with answering(reply) as port:
        assert redis_answers(port, 7) is yes


@pytest.mark.parametrize(
    ("reply", "yes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"-ERR unknown command 'GET'\r\n", False),
        (b"", False),
    ],
)
def test_http_succeeds(reply: bytes, yes: bool) -> None:
    """Only status 200 is a yes; other servers and broken answers are a no."""
    with answering(reply) as port:
        assert http_succeeds(port, "/x") is yes
