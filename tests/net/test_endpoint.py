"""Redis URLs: what is read from them, and what is said about those that are wrong."""

from __future__ import annotations

import pytest

from sidecar.net.endpoint import RedisEndpoint

READ = {
    "redis://localhost": RedisEndpoint("localhost", 6379),
    "redis://127.0.0.1:7000": RedisEndpoint("127.0.0.1", 7000),
    "redis://127.0.0.1:7000/": RedisEndpoint("127.0.0.1", 7000),
    "redis://127.0.0.1:7000/15": RedisEndpoint("127.0.0.1", 7000, database=15),
    "redis://:secret@host": RedisEndpoint("host", password="secret"),
    "redis://user:secret@host:1/2": RedisEndpoint("host", 1, "user", "secret", 2),
    "redis://us%40er:p%2F%3A%40ss@host": RedisEndpoint("host", username="us@er", password="p/:@ss"),
    "redis://[::1]:7000/1": RedisEndpoint("::1", 7000, database=1),
    "REDIS://Host": RedisEndpoint("host"),
}


@pytest.mark.parametrize("url", READ)
def test_parse(url: str) -> None:
    """Host, port, user, password and database are read, percent-encoding is undone, the rest has Redis's defaults."""
    assert RedisEndpoint.parse(url) == READ[url]


WRONG = {
    "localhost:6379": "starts with redis://",
    "rediss://localhost": "starts with redis://, not 'rediss://'",
    "": "starts with redis://",
    "redis://": "names no host",
    "redis:///0": "names no host",
    "redis://host/zero": "ends with a database number, not 'zero'",
    "redis://host/1/2": "ends with a database number, not '1/2'",
    "redis://host/-1": "ends with a database number",
    "redis://host:port": "Port",
    "redis://host:70000": "Port out of range",
    "redis://user:se/cret@host": "percent-encoded",
    "redis://user:12/cret@host:1/0": "percent-encoded",
    "redis://user:12#cret@host:1/0": "percent-encoded",
    "redis://user:12?cret@host:1/0": "percent-encoded",
    "redis://user:cr#et@host:1/0": "percent-encoded",
}


@pytest.mark.parametrize("url", WRONG)
def test_wrong_urls(url: str) -> None:
    """What is wrong is said, and no part of a password with it."""
    with pytest.raises(ValueError, match=WRONG[url]) as problem:
        RedisEndpoint.parse(url)
    assert "cret" not in str(problem.value)
    assert "cr" not in str(problem.value)


def test_shown() -> None:
    """An endpoint is shown as address and database, without the password, also where it is printed for debugging."""
    endpoint = RedisEndpoint("::1", 7000, "user", "secret", 3)
    assert str(endpoint) == "[::1]:7000/3"
    assert str(RedisEndpoint("host")) == "host:6379/0"
    assert "secret" not in repr(endpoint)
