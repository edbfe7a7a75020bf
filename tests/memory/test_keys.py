"""Key names on Redis: the layout, and that no two memories share one."""

from __future__ import annotations

import re
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.memory.keys import SHARDS, KeySpace, decode, encode

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def test_the_layout() -> None:
    """Type first, then the hash tag, then project, definition and instance: every process must agree on this."""
    keys = KeySpace().keys("chat", "42")
    tag = f"{{{crc32(b'default:chat:42') % SHARDS:02x}}}"
    assert keys.name == "default:chat:42"
    assert (keys.log, keys.meta, keys.keep, keys.work) == tuple(
        f"mem:{kind}:{tag}:default:chat:42" for kind in ("log", "meta", "keep", "work")
    )
    assert keys.due == f"mem:due:{tag}:default"


def test_pinned_names() -> None:
    """Names that deployments have stored must never change."""
    keys = KeySpace("m", "a b").keys("chat", "user:7/ü")
    assert keys.log == f"m:log:{{{crc32(b'a%20b:chat:user%3A7/%C3%BC') % 256:02x}}}:a%20b:chat:user%3A7/%C3%BC"
    assert KeySpace().keys("chat", "1").log == "mem:log:{63}:default:chat:1"


@pytest.mark.parametrize(
    ("part", "encoded"),
    [
        ("plain-Text_1.0@/*", "plain-Text_1.0@/*"),
        ("a:b", "a%3Ab"),
        ("{x}", "%7Bx%7D"),
        ("50%", "50%25"),
        ("a b", "a%20b"),
        ("\n\0\x7f", "%0A%00%7F"),
        ("é", "%C3%A9"),
        ("", ""),
    ],
)
def test_encode(part: str, encoded: str) -> None:
    """What would end a part or a hash tag, and what is not printable ASCII, is percent-encoded."""
    assert encode(part) == encoded
    assert decode(encoded) == part


@settings(deadline=None)
@given(TEXT)
def test_any_part_comes_back(part: str) -> None:
    """Encoding loses nothing and leaves only printable ASCII without `:`, `{` and `}`."""
    encoded = encode(part)
    assert decode(encoded) == part
    assert re.fullmatch(r"[!-~]*", encoded)
    assert not set(":{}") & set(encoded)


@settings(deadline=None)
@given(TEXT, TEXT, TEXT)
def test_parse(project: str, definition: str, instance: str) -> None:
    """From a memory's name its definition and instance come back."""
    space = KeySpace(project=project)
    assert space.parse(space.keys(definition, instance).name) == (definition, instance)


@settings(deadline=None)
@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_no_two_memories_share_a_key(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    """Different projects, definitions or instances have different keys."""
    names = [KeySpace(project=project).keys(definition, instance).log for project, definition, instance in (one, two)]
    assert (names[0] == names[1]) == (one == two)


def test_another_project() -> None:
    """A name of another project is refused."""
    with pytest.raises(ValueError, match="'b:chat:1' belongs to another project than 'a'"):
        KeySpace(project="a").parse("b:chat:1")


def test_one_slot() -> None:
    """All keys of a memory have the same hash tag, and its outbox is the one of that shard."""
    space = KeySpace("p", "x")
    for number in range(300):
        keys = space.keys("chat", str(number))
        every = (keys.log, keys.meta, keys.keep, keys.work, keys.due)
        (tag,) = {key[key.index("{") : key.index("}") + 1] for key in every}
        assert keys.due == space.outbox(int(tag[1:-1], 16))


def test_memories_spread() -> None:
    """Memories use all hash tags evenly enough to spread a cluster's load."""
    tags = [KeySpace().keys("chat", str(number)).due for number in range(SHARDS * 50)]
    counts = [tags.count(tag) for tag in set(tags)]
    assert len(counts) == SHARDS
    assert max(counts) < 100
