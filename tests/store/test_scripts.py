"""Loading the Lua scripts."""

from __future__ import annotations

from importlib.resources import files

import pytest
from redis.asyncio import Redis

from sidecar.store.scripts import load

NAMES = sorted(path.name.removesuffix(".lua") for path in files("sidecar.store").joinpath("lua").iterdir())


@pytest.mark.parametrize("name", NAMES)
async def test_redis_takes_every_script_and_agrees_on_its_hash(redis_client: Redis, name: str) -> None:
    """Each script compiles on Redis and is known to it by the hash that we compute."""
    script = load(name)
    sha = await redis_client.script_load(script.source)
    assert (script.name, script.sha) == (name, sha)


def test_a_script_is_read_once() -> None:
    """The second load is the first one's object."""
    assert load("begin") is load("begin")


def test_an_unknown_script_is_our_bug() -> None:
    """A name that is not in the package raises."""
    with pytest.raises(FileNotFoundError):
        load("no-such-script")
