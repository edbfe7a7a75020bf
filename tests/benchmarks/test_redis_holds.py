"""What holds Redis, by name."""

from __future__ import annotations

import redis

from benchmarks.redis_holds import load_all_scripts, named, redis_holds
from sidecar.store import scripts


def test_the_longest_hold_is_told_by_name(redis_url: str) -> None:
    """A command that took 20 ms is there with its time; one of microseconds is not."""
    with redis.Redis.from_url(redis_url) as client:
        with redis_holds(client) as holds:
            client.ping()
            client.execute_command("DEBUG", "SLEEP", "0.02")
        assert holds.longest_ms["DEBUG"] >= 20
        assert "PING" not in holds.longest_ms
        with redis_holds(client) as later:
            client.ping()
        assert "DEBUG" not in later.longest_ms


def test_scripts_have_the_names_of_their_files(redis_url: str) -> None:
    """Every script of the package is known to Redis after loading, and named by its SHA."""
    with redis.Redis.from_url(redis_url) as client:
        load_all_scripts(client)
        for name in ("append", "commit", "facts"):
            sha = scripts.load(name).sha
            assert client.script_exists(sha) == [True]
            assert named([b"evalsha", sha.encode(), b"1"]) == name
    assert named([b"EVALSHA", b"0123456789abcdef"]) == "script 01234567"
