"""The first session of the README, typed as a new user would: redis-cli, curl, and redis-py in both protocols."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.dev.binaries import find_redis_server
from sidecar.dev.servers import RedisServer, SidecarProcess, TemporalServer
from tests.e2e.agents import as_map
from tests.support.children import Children, StartSidecar, StartWorker

CONTENTS = ("user", "Where is my parcel?", "assistant", "It left Rotterdam at 14:05.")


@pytest.fixture(scope="module")
def started(redis_server: RedisServer, temporal_server: TemporalServer) -> Iterator[SidecarProcess]:
    """A sidecar and a worker for all tests of this file."""
    children = Children()
    url, temporal, queue = redis_server.url, temporal_server.address, {"MEMSIDECAR_TEMPORAL_TASK_QUEUE": "readme"}
    StartWorker(children)(redis_url=url, temporal_address=temporal, settings=queue)
    yield StartSidecar(children)(redis_url=url, engine="temporal", temporal_address=temporal, settings=queue)
    children.stop_all()


@pytest.fixture
def whole(started: SidecarProcess, redis_url: str) -> SidecarProcess:
    """Redis, which is empty, Temporal, a sidecar and a worker."""
    assert started.running, f"the sidecar has ended with {started.exit_code}, and Redis at {redis_url} is up"
    return started


def appends(sidecar: SidecarProcess) -> float:
    """Return how many MEMAPPEND the metrics page counts, which must have them."""
    with urllib.request.urlopen(sidecar.metrics_url, timeout=10) as page:
        text = page.read().decode()
    (count,) = re.findall(r'^memsidecar_commands_total\{command="MEMAPPEND",outcome="ok"\} (\S+)$', text, re.MULTILINE)
    return float(count)


def redis_cli(port: int, *words: str) -> str:
    """Run one command with the redis-cli that comes with the embedded Redis."""
    program = find_redis_server().with_name("redis-cli")
    done = subprocess.run([program, "-p", str(port), *words], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_the_first_session_works_in_redis_cli(whole: SidecarProcess) -> None:
    """SET, MEMAPPEND, MEMREAD, MEMFLUSH through Temporal, MEMINFO and the metrics page all answer."""
    port = whole.port
    assert redis_cli(port, "SET", "plain", "works") == "OK\n"
    assert redis_cli(port, "GET", "plain") == "works\n"
    appended = as_map(redis_cli(port, "MEMAPPEND", "chat:42", *CONTENTS).splitlines())
    assert (appended["appended"], appended["messages"], appended["tokens"]) == ("2", "2", "22")
    assert "It left Rotterdam at 14:05." in redis_cli(port, "MEMREAD", "chat:42", "TOKENS", "2000")
    flushed = as_map(redis_cli(port, "MEMFLUSH", "chat:42", "FORCE", "WAIT", "10000").splitlines())
    assert flushed["status"] == "done"
    assert flushed["removed"] == "1"
    assert flushed["workflow-id"].startswith("memflush:")
    info = as_map(redis_cli(port, "MEMINFO", "chat:42").splitlines())
    assert (info["messages"], info["last-flush-strategy"]) == ("1", "hybrid_summary")
    counted = appends(whole)
    redis_cli(port, "MEMAPPEND", "chat:42", *CONTENTS)
    assert (counted >= 1, appends(whole)) == (True, counted + 1)


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_first_session_works_in_redis_py(whole: SidecarProcess, protocol: int) -> None:
    """redis-py forwards, appends, reads, flushes and asks in RESP2 and RESP3, in one pipeline too."""
    with redis.Redis(port=whole.port, protocol=protocol, decode_responses=True) as client:
        assert client.set("plain", "works")
        with client.pipeline(transaction=False) as pipeline:
            pipeline.incr("hits")
            pipeline.execute_command("MEMAPPEND", "chat:42", *CONTENTS)
            pipeline.incr("hits")
            pipeline.execute_command("MEMREAD", "chat:42", "TOKENS", "2000")
            pipeline.get("plain")
            first, appended, second, read, plain = pipeline.execute()
        assert (first, second, plain) == (1, 2, "works")
        assert isinstance(appended, dict) is (protocol == 3)
        assert as_map(appended)["duplicate"] in (0, False)
        messages: list[Any] = as_map(read)["messages"]
        assert [as_map(message)["content"] for message in messages] == list(CONTENTS[1::2])
        flushed = as_map(client.execute_command("MEMFLUSH", "chat:42", "FORCE", "WAIT", "10000"))
        assert flushed["status"] == "done"
        after = as_map(client.execute_command("MEMREAD", "chat:42"))
        assert "Where is my parcel?" in after["summary"]
        assert len(after["messages"]) == 1


def test_transactions_subscriptions_and_blocking_commands_are_redis_s_own(whole: SidecarProcess) -> None:
    """MULTI/EXEC, WATCH, pub/sub, BLPOP and SELECT pass through; a MEM command inside MULTI makes EXEC fail."""
    with redis.Redis(port=whole.port, decode_responses=True) as client:
        with client.pipeline(transaction=True) as pipeline:
            pipeline.watch("seen")
            pipeline.multi()
            pipeline.incr("seen")
            pipeline.incr("seen")
            assert pipeline.execute() == [1, 2]
        with client.pubsub() as subscription:
            subscription.subscribe("news")
            assert subscription.get_message(timeout=5)
            assert client.publish("news", "hello") == 1
            received: Any = subscription.get_message(timeout=5)
            assert received["data"] == "hello"
        client.rpush("jobs", "one")
        assert client.blpop(["jobs"], timeout=1) == ["jobs", "one"] or client.llen("jobs") == 0
        with client.pipeline(transaction=True) as pipeline:
            pipeline.incr("seen")
            pipeline.execute_command("MEMAPPEND", "chat:42", *CONTENTS)
            with pytest.raises(redis.exceptions.ResponseError, match="transaction"):
                pipeline.execute()
        assert client.get("seen") == "2"


def test_redis_cli_comes_with_the_embedded_redis() -> None:
    """The development set-up brings redis-cli, so a user needs no other package for the first session."""
    assert Path(find_redis_server()).with_name("redis-cli").is_file()
