"""Where to listen: how an address is written, and who can reach it."""

from __future__ import annotations

import socket

import pytest

from sidecar.net.listen_address import ListenAddress

WRITTEN = [
    ("127.0.0.1:6380", ListenAddress("127.0.0.1", 6380)),
    ("localhost:0", ListenAddress("localhost", 0)),
    ("[::1]:6380", ListenAddress("::1", 6380)),
    (":6380", ListenAddress("", 6380)),
]


@pytest.mark.parametrize(("text", "address"), WRITTEN)
def test_writing(text: str, address: ListenAddress) -> None:
    """An address reads and writes as in a URL."""
    assert ListenAddress.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "6380", "localhost", "localhost:", "localhost:x", "a:65536", "a:-1", "::1:6380"])
def test_malformed(text: str) -> None:
    """What is not host and port is refused with its text."""
    with pytest.raises(ValueError, match=f"'{text}' is not host:port"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "exposed"),
    [
        ("127.0.0.1:1", False),
        ("127.9.9.9:1", False),
        ("[::1]:1", False),
        ("[::ffff:127.0.0.1]:1", False),
        ("localhost:1", False),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        (":1", True),
        ("10.1.2.3:1", True),
        ("[::ffff:10.1.2.3]:1", True),
        ("[2001:db8::1]:1", True),
    ],
)
async def test_exposed(text: str, exposed: bool) -> None:
    """Loopback is for this machine only, in all its spellings; anything else is not."""
    assert await ListenAddress.parse(text).exposed() is exposed


async def test_resolving() -> None:
    """Each address of a name comes once, with the port."""
    assert await ListenAddress("127.0.0.1", 7).resolve() == [(socket.AF_INET, ("127.0.0.1", 7))]
    found = await ListenAddress("localhost", 7).resolve()
    assert (socket.AF_INET, ("127.0.0.1", 7)) in found
    assert len(set(found)) == len(found)


async def test_an_unknown_name() -> None:
    """A name that nobody knows is an error that says where it stands."""
    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:7: "):
        await ListenAddress("nowhere.invalid", 7).resolve()
