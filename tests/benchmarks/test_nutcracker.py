"""nutcracker before a Redis."""

from __future__ import annotations

from pathlib import Path

import redis

from benchmarks.nutcracker import NutcrackerServer, maybe_find_nutcracker
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer
from tests.support.requirements import INSTALL, missing


def test_it_is_told_where_redis_is(tmp_path: Path) -> None:
    """The configuration names both ports and the protocol, and nothing is served on a fixed port or another address."""
    server = NutcrackerServer(program=Path("/opt/nutcracker"), port=1111, redis_port=2222, directory=tmp_path)
    program, *arguments = map(str, server.command())
    assert program == "/opt/nutcracker"
    text = Path(arguments[arguments.index("-c") + 1]).read_text(encoding="utf-8")
    for line in ("listen: 127.0.0.1:1111", "redis: true", "- 127.0.0.1:2222:1"):
        assert f" {line}\n" in text
    assert arguments[arguments.index("-a") + 1] == LOOPBACK
    assert arguments[arguments.index("-s") + 1] != "22222"


def test_it_forwards(tmp_path: Path, redis_url: str, redis_server: RedisServer) -> None:
    """What is set through it is on Redis."""
    program = maybe_find_nutcracker()
    if program is None:
        missing(f"this test needs nutcracker ({INSTALL['nutcracker']})")
    server = NutcrackerServer(program=program, port=free_port(), redis_port=redis_server.port, directory=tmp_path)
    server.start()
    try:
        with redis.Redis(host=LOOPBACK, port=server.port, protocol=2, driver_info=None) as client:
            client.set("through", "it")
    finally:
        server.stop()
    with redis.Redis.from_url(redis_url) as client:
        assert client.get("through") == b"it"
