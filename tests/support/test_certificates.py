"""The certificates of the tests: who accepts them, and why others do not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import PASSPHRASE, Authority, Certificate


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def guarded_by(authority: Authority, shown: Certificate) -> ssl.SSLContext:
    """A server that shows a certificate and wants one of `authority` from its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    context.load_cert_chain(shown.cert, shown.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> None:
    """Let the two agree, without a network.

    Raises:
        ssl.SSLError: the one that refuses the other says why.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def test_both_sides(authority: Authority) -> None:
    """A certificate serves a server, under its name and its address, and a client."""
    server = guarded_by(authority, authority.issue("server"))
    for host in ("localhost", "127.0.0.1"):
        shake_hands(authority.client_context(authority.issue("agent")), server, host)


@pytest.mark.parametrize(
    ("hosts", "wanted", "reason"),
    [
        (["redis.test"], "other.test", "Hostname mismatch.*'other.test'"),
        (["redis.test"], "127.0.0.1", "IP address mismatch.*'127.0.0.1'"),
        (["127.0.0.1"], "localhost", "Hostname mismatch.*'localhost'"),
        (["127.0.0.1"], "127.0.0.2", "IP address mismatch.*'127.0.0.2'"),
    ],
)
def test_another_name(authority: Authority, hosts: list[str], wanted: str, reason: str) -> None:
    """A certificate is good for the names and addresses it was issued for, and for no others."""
    client = authority.client_context(authority.issue("agent"))
    server = guarded_by(authority, authority.issue("server", hosts=hosts))
    shake_hands(client, server, hosts[0])
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        shake_hands(client, server, wanted)


def test_expired(authority: Authority) -> None:
    """An expired certificate is refused for that reason, on either side."""
    valid, expired = authority.issue("valid"), authority.issue("expired", expired=True)
    for client, server in ((valid, expired), (expired, valid)):
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            shake_hands(authority.client_context(client), guarded_by(authority, server))


def test_a_stranger(authority: Authority, tmp_path: Path) -> None:
    """A certificate of another authority is refused, on either side, even if that one bears the same name."""
    (tmp_path / "namesake").mkdir()
    ours = authority.issue("ours")
    for other in (Authority(tmp_path, "other"), Authority(tmp_path / "namesake")):
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            shake_hands(authority.client_context(ours), guarded_by(authority, other.issue("theirs")))
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            shake_hands(authority.client_context(other.issue("theirs")), guarded_by(authority, ours))


def test_locked_keys(authority: Authority) -> None:
    """The passphrase opens a locked key, in both formats, and nothing else does."""
    issued = authority.issue("locked")
    for locked in issued.locked_keys():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.cert, locked, password=PASSPHRASE)
        with pytest.raises(ssl.SSLError):
            context.load_cert_chain(issued.cert, locked, password="wrong")
