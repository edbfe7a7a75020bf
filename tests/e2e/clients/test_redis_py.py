"""redis-py, blocking, works through the sidecar as on Redis, in both protocols."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest
import redis
from redis.cache import CacheConfig

from sidecar.dev.servers import SidecarProcess
from tests.support.waiting import eventually

Client = Any
"""A client of redis-py. Its types join both protocols, text and bytes in every reply, and leave some calls out."""

WAIT_S = 10.0
"""Limit for what another thread does; it takes milliseconds."""

CONNECTIONS = 20
"""Connections in the pool that threads fight for: fewer than the threads, so that they are reused."""


@pytest.fixture(params=[2, 3])
def client(request: pytest.FixtureRequest, front: SidecarProcess) -> Iterator[Client]:
    """redis-py on the sidecar's address, once in RESP2 and once in RESP3."""
    with redis.Redis(port=front.port, protocol=request.param, decode_responses=True) as connected:
        yield connected


def test_every_type_of_value_comes_back_as_it_went(client: Client) -> None:
    """Strings, bytes of any kind, hashes, sets, sorted sets, streams and scripts answer what Redis would."""
    client.set("text", "häagen\r\n$3\r\n")
    assert client.get("text") == "häagen\r\n$3\r\n"
    client.hset("hash", mapping={"a": "1", "b": "2"})
    assert client.hgetall("hash") == {"a": "1", "b": "2"}
    client.sadd("set", "x", "y")
    assert client.smembers("set") == {"x", "y"}
    client.zadd("scores", {"low": 1.5, "high": 2.5})
    assert [list(pair) for pair in client.zrange("scores", 0, -1, withscores=True)] == [["low", 1.5], ["high", 2.5]]
    entry = client.xadd("stream", {"field": "value"})
    assert [list(found) for found in client.xrange("stream")] == [[entry, {"field": "value"}]]
    assert client.eval("return {KEYS[1], ARGV[1], 7}", 1, "k", "v") == ["k", "v", 7]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.incr("hash")


def test_a_large_value_survives(client: Client) -> None:
    """A value many times larger than every buffer on the way is stored and read back whole."""
    value = "0123456789abcdef" * (512 * 1024)
    client.set("large", value)
    assert client.get("large") == value


def test_a_pipeline_mixes_commands_of_redis_and_of_the_sidecar(client: Client) -> None:
    """Thousands of commands written at once get their replies in order, MEM commands in between too."""
    with client.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.incr("n")
            if number % 500 == 0:
                pipe.execute_command("MEMCOUNT", "hello")
        replies = pipe.execute()
    assert [reply for reply in replies if not isinstance(reply, list)] == list(range(1, 3001))
    assert [reply for reply in replies if isinstance(reply, list)] == [[1]] * 6


def test_a_transaction_is_all_or_nothing(client: Client, behind: redis.Redis) -> None:
    """MULTI and EXEC answer every queued command, and a watched key that somebody changed aborts them."""
    with client.pipeline() as pipe:
        assert pipe.set("a", "1").incr("a").get("a").execute() == [True, 2, "2"]
        pipe.watch("a")
        behind.set("a", "changed")
        pipe.multi()
        pipe.set("a", "lost")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert behind.get("a") == "changed"


def test_optimistic_locking_loses_no_increment(client: Client) -> None:
    """`transaction()` retried by several threads at once counts every one of them."""

    def add_one(pipe: Client) -> None:
        before = int(pipe.get("counter") or 0)
        pipe.multi()
        pipe.set("counter", before + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.transaction(add_one, "counter"), range(40)))
    assert client.get("counter") == "40"


def test_a_bounded_pool_serves_more_threads_than_it_has_connections(client: Client, front: SidecarProcess) -> None:
    """Threads that share a blocking pool get their own replies and never another thread's."""
    there = {each["id"] for each in client.client_list(_type="normal")}
    pool = redis.BlockingConnectionPool.from_url(front.url, max_connections=CONNECTIONS, timeout=WAIT_S)
    shared: Client = redis.Redis(connection_pool=pool, decode_responses=True)

    def own(number: int) -> bool:
        return all(shared.echo(f"{number}.{turn}") == f"{number}.{turn}".encode() for turn in range(20))

    with ThreadPoolExecutor(2 * CONNECTIONS) as threads:
        assert all(threads.map(own, range(2 * CONNECTIONS)))
    new = {each["id"] for each in client.client_list(_type="normal")} - there
    assert 0 < len(new) <= CONNECTIONS + 10  # some of its own work, and of other sidecars
    pool.disconnect()


def test_a_connection_keeps_its_name_and_its_database(client: Client, front: SidecarProcess) -> None:
    """What belongs to a connection (name, database) belongs to that client only."""
    with redis.Redis(port=front.port, db=5, client_name="named", decode_responses=True) as named:
        named.set("only in 5", "1")
        assert named.client_getname() == "named"
        assert named.client_info()["db"] == 5
        assert client.get("only in 5") is None
        assert client.client_getname() != "named"


async def test_a_thread_receives_what_is_published(client: Client) -> None:
    """`run_in_thread` delivers messages of channels and of patterns until it is stopped."""
    received: Queue[str] = Queue()
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(news=lambda message: received.put(message["data"]))
    subscription.psubscribe(**{"w*": lambda message: received.put(message["channel"])})
    thread = subscription.run_in_thread(sleep_time=0.05)
    try:
        await eventually(lambda: client.pubsub_numsub("news")[0][1] == 1 and client.pubsub_numpat() == 1)
        assert client.publish("news", "first") == 1
        assert client.publish("weather", "rain") == 1
        assert [received.get(timeout=WAIT_S), received.get(timeout=WAIT_S)] == ["first", "weather"]
    finally:
        thread.stop()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    await eventually(lambda: client.pubsub_numsub("news")[0][1] == 0, why="the subscription outlived its client")


async def test_a_blocked_client_is_woken_by_another(client: Client, behind: redis.Redis) -> None:
    """BLPOP without a limit of time gets the element that another client pushes, as soon as it is there."""
    popped: Queue[list[str]] = Queue()
    waiting = threading.Thread(target=lambda: popped.put(client.blpop(["jobs"], timeout=0)), daemon=True)
    waiting.start()
    await eventually(lambda: any(found["cmd"] == "blpop" for found in behind.client_list()))
    client.rpush("jobs", "one")
    assert list(popped.get(timeout=WAIT_S)) == ["jobs", "one"]


def test_a_lock_excludes_others(client: Client) -> None:
    """redis-py's Lock, a script and a random token, lets one thread in at a time and refuses a stranger's release."""
    inside = 0
    seen: list[int] = []

    def enter(_: int) -> None:
        nonlocal inside
        with client.lock("guard", timeout=WAIT_S, sleep=0.005, blocking_timeout=WAIT_S):
            inside += 1
            seen.append(inside)
            inside -= 1

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(enter, range(20)))
    assert seen == [1] * 20
    held, other = client.lock("guard", timeout=WAIT_S), client.lock("guard", timeout=WAIT_S)
    assert held.acquire(blocking=False)
    assert not other.acquire(blocking=False)
    with pytest.raises(redis.exceptions.LockError):
        other.release()
    held.release()


def test_monitor_shows_the_commands_of_others(client: Client) -> None:
    """MONITOR streams what other clients do, arguments as they were written."""
    with client.monitor() as monitor:
        client.set("watched", "by monitor")
        commands = iter(lambda: monitor.next_command()["command"], None)
        assert next(command for command in commands if "watched" in command) == "SET watched by monitor"


def _cached_reads(url: str, changed_by: redis.Redis) -> list[object]:
    """Read a key through redis-py's cache before and after somebody else changes it, or say why it will not cache."""
    changed_by.set("cached", "old")
    try:
        with redis.Redis.from_url(url, protocol=3, cache_config=CacheConfig(), decode_responses=True) as caching:
            first = caching.get("cached")
            cache = caching.get_cache()
            assert cache is not None
            kept = cache.size
            changed_by.set("cached", "new")
            caching.ping()  # the invalidation stands before this reply
            return [first, kept, caching.get("cached")]
    except redis.ConnectionError as refused:
        return [str(refused)]


def test_the_client_side_cache_is_the_one_of_redis(front: SidecarProcess, behind: redis.Redis, redis_url: str) -> None:
    """redis-py's cache keeps a value, hears of its change, and is refused on an old server: all as without sidecar."""
    assert _cached_reads(front.url, behind) == _cached_reads(redis_url, behind)


async def test_tracking_tells_a_client_what_became_stale(front: SidecarProcess, behind: redis.Redis) -> None:
    """On RESP3 the push `invalidate` reaches the connection that read the key, between its other replies."""
    stale: list[object] = []
    connection: Any = redis.Connection(port=front.port, protocol=3)  # type: ignore[no-untyped-call]
    connection.connect()
    try:
        connection._parser.set_invalidation_push_handler(stale.append)  # the hook that redis-py's own cache uses
        for command in (["CLIENT", "TRACKING", "ON"], ["GET", "tracked"]):
            connection.send_command(*command)
            connection.read_response()
        behind.set("tracked", "changed")
        connection.send_command("ECHO", "after")
        assert connection.read_response() == b"after"
        assert stale == [[b"invalidate", [b"tracked"]]]
    finally:
        connection.disconnect()
