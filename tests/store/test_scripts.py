"""Loading the Lua scripts."""

from __future__ import annotations

from importlib.resources import files

import pytest
from redis.asyncio import Redis

from sidecar.store.scripts import load

LUA = files("sidecar.store").joinpath("lua")
NAMES = sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.is_file())
PARTS = sorted(path.name.removesuffix(".lua") for path in LUA.joinpath("parts").iterdir())


@pytest.mark.parametrize("name", NAMES)
async def test_redis_takes_every_script_and_agrees_on_its_hash(redis_client: Redis, name: str) -> None:
    """Each script compiles on Redis and is known to it by the hash that we compute."""
    script = load(name)
    sha = await redis_client.script_load(script.source)
    assert (script.name, script.sha) == (name, sha)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_included(name: str) -> None:
    """A part stands whole in each script that includes it, and no part is there for nothing."""
    text = LUA.joinpath("parts", f"{name}.lua").read_text()
    users = [script for script in NAMES if text in load(script).source]
    including = [script for script in NAMES if f"-- include: {name}\n" in LUA.joinpath(f"{script}.lua").read_text()]
    assert users == including != []


def test_no_include_is_left_over() -> None:
    """What Redis gets has no line that only we understand."""
    assert not [name for name in NAMES if "-- include:" in load(name).source]


def test_a_script_is_read_once() -> None:
    """The second load is the first one's object."""
    assert load("begin") is load("begin")


def test_an_unknown_script_is_our_bug() -> None:
    """A name that is not in the package raises."""
    with pytest.raises(FileNotFoundError):
        load("no-such-script")
