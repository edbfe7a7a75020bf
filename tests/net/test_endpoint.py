"""Redis URLs: what is read from them, and what is said about those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.net.endpoint import Address, RedisEndpoint

SOCKET = Path("/run/redis.sock")
LOCAL = (Address("localhost", 26379),)

READ = {
    "redis://localhost": RedisEndpoint("localhost", 6379),
    "redis://127.0.0.1:7000": RedisEndpoint("127.0.0.1", 7000),
    "redis://127.0.0.1:7000/": RedisEndpoint("127.0.0.1", 7000),
    "redis://127.0.0.1:7000/15": RedisEndpoint("127.0.0.1", 7000, database=15),
    "redis://host:/1": RedisEndpoint("host", database=1),
    "redis://:secret@host": RedisEndpoint("host", password="secret"),
    "redis://:@host": RedisEndpoint("host"),
    "redis://user:@host": RedisEndpoint("host", username="user", password=""),
    "redis://user:secret@host:1/2": RedisEndpoint("host", 1, "user", "secret", 2),
    "redis://user:a:b@host": RedisEndpoint("host", username="user", password="a:b"),
    "redis://us%40er:p%2F%3A%40ss@host": RedisEndpoint("host", username="us@er", password="p/:@ss"),
    "redis://[::1]:7000/1": RedisEndpoint("::1", 7000, database=1),
    "redis://[FE80::1%25eth0]": RedisEndpoint("fe80::1%25eth0"),
    "REDIS://Host": RedisEndpoint("host"),
    "rediss://user:secret@host:1/2": RedisEndpoint("host", 1, "user", "secret", 2, tls=True),
    "unix:///run/redis.sock": RedisEndpoint(socket=SOCKET),
    "unix:///run/redis.sock?db=3": RedisEndpoint(socket=SOCKET, database=3),
    "unix://:secret@/run/redis.sock": RedisEndpoint(socket=SOCKET, password="secret"),
    "unix://user:se%2Fcret@/run/redis.sock?db=1": RedisEndpoint(
        socket=SOCKET, username="user", password="se/cret", database=1
    ),
    "unix:///run/my%20redis@home.sock": RedisEndpoint(socket=Path("/run/my redis@home.sock")),
    "redis+sentinel://localhost/mymaster": RedisEndpoint(sentinels=LOCAL, master="mymaster"),
    "rediss+sentinel://localhost/mymaster/4": RedisEndpoint(sentinels=LOCAL, master="mymaster", database=4, tls=True),
    "redis+sentinel://user:secret@a:1,b,[::1]:3,[::2]/my.master-1_x/0": RedisEndpoint(
        username="user",
        password="secret",
        sentinels=(Address("a", 1), Address("b", 26379), Address("::1", 3), Address("::2", 26379)),
        master="my.master-1_x",
    ),
}


@pytest.mark.parametrize("url", READ)
def test_parse(url: str) -> None:
    """Every part is read, percent-encoding is undone, the rest has Redis's defaults."""
    assert RedisEndpoint.parse(url) == READ[url]


SCHEMES = r"starts with redis://, rediss://, unix://, redis\+sentinel:// or rediss\+sentinel://"

WRONG = {
    "localhost:6379": SCHEMES,
    "http://localhost": f"{SCHEMES}, not 'http://'",
    "redis": SCHEMES,
    "": SCHEMES,
    "redis://": "names no host",
    "redis:///0": "names no host",
    "rediss://:1": "names no host",
    "redis://[]": "names no host",
    "redis://::1": "in brackets",
    "redis://[::1]x": "in brackets",
    "redis://a,b": "only Sentinels may be several",
    "redis://a b": "host of the Redis URL is not valid",
    "redis+sentinel://a, b/name": "host of the Redis URL is not valid",
    "redis://host/zero": "ends with a database number, not 'zero'",
    "redis://host/1/2": "ends with a database number, not '1/2'",
    "redis://host/-1": "ends with a database number",
    "redis://host/²": "ends with a database number",
    "redis://host/2147483648": "ends with a database number",
    f"redis://host/{'9' * 5000}": "ends with a database number",
    "redis://host/0?db=1": "nothing behind the database number",
    "redis://host#x": "nothing behind the database number",
    "redis+sentinel://host/name?x=1": "nothing behind the database number",
    "redis://host:port": "port of the Redis URL must be a number from 1 to 65535",
    "redis://host:65536": "from 1 to 65535",
    "redis://host:0": "from 1 to 65535",
    "redis://host:+1": "from 1 to 65535",
    "redis://user:cret": "from 1 to 65535",
    "redis://:user:cret": "in brackets",
    "redis://user@host": "a user without a password; write user:password@",
    "redis://user:se/cret@host": "percent-encoded",
    "redis://user:se@cret@host": "percent-encoded",
    "redis://user:12/cret@host:1/0": "percent-encoded",
    "redis://user:12#cret@host:1/0": "percent-encoded",
    "redis://user:12?cret@host:1/0": "percent-encoded",
    "redis://user:cr#et@host:1/0": "percent-encoded",
    "unix://": "unix:///path/to.sock",
    "unix:///": "unix:///path/to.sock",
    "unix://run/redis.sock": "unix:///path/to.sock",
    "unix://user:12/cret@/run/redis.sock": "percent-encoded",
    "unix:///run/redis.sock?db=x": "ends with a database number, not 'x'",
    "unix:///run/redis.sock?db=1&db=2": r"only \?db=number may stand",
    "unix:///run/redis.sock?virtual=1": r"only \?db=number may stand",
    "unix:///run/redis.sock#db=1": r"only \?db=number may stand",
    f"unix:///{'x' * 103}": "at most 103 bytes",
    "redis+sentinel://host": r"must name the Sentinels' master: redis\+sentinel://host:26379/name",
    "rediss+sentinel://host/": r"must name the Sentinels' master: rediss\+sentinel://host:26379/name",
    "redis+sentinel://host/my master": "must name the Sentinels' master",
    "redis+sentinel:///name": "names no host",
    "redis+sentinel://a,,b/name": "names no host",
    "redis+sentinel://a:1,b:x/name": "from 1 to 65535",
    "redis+sentinel://host/name/x": "ends with a database number, not 'x'",
    "redis+sentinel://user:se/cret@host/name": "percent-encoded",
}


@pytest.mark.parametrize("url", WRONG)
def test_wrong_urls(url: str) -> None:
    """What is wrong is said, and no part of a password with it."""
    with pytest.raises(ValueError, match=WRONG[url]) as problem:
        RedisEndpoint.parse(url)
    assert "cret" not in str(problem.value)
    assert "cr" not in str(problem.value)


SHOWN = {
    "redis://user:secret@[::1]:7000/3": "[::1]:7000/3",
    "redis://host": "host:6379/0",
    "rediss://user:secret@host": "rediss://host:6379/0",
    "unix://user:secret@/run/redis.sock?db=1": "unix:///run/redis.sock?db=1",
    "redis+sentinel://user:secret@a:1,[::1]/name/2": "redis+sentinel://a:1,[::1]:26379/name/2",
    "rediss+sentinel://user:secret@a/name": "rediss+sentinel://a:26379/name/0",
}


@pytest.mark.parametrize("url", SHOWN)
def test_shown(url: str) -> None:
    """An endpoint is shown as address and database, without the password, also where it is printed for debugging."""
    endpoint = RedisEndpoint.parse(url)
    assert str(endpoint) == SHOWN[url]
    assert "secret" not in repr(endpoint)
