"""Where Redis is, read from a URL (https://www.iana.org/assignments/uri-schemes/prov/redis).

The forms are those that Redis's clients know: TCP, TLS, a Unix socket, and a master found through Sentinels. Nothing
is connected here; `net.dialer` does that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

LAST_PORT = 65_535

LAST_DATABASE = 2**31 - 1
"""Redis reads the number into an int; how many databases there are is its own to say."""

MAX_SOCKET_PATH_BYTES = 103
"""What fits into a socket's address everywhere (Linux 107, macOS 103). uvloop would cut a longer path off."""

_FORMS = "redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://"
_SCHEMES = {"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"}
_ENCODE = "in the Redis URL, the characters / ? # @ of a user or password must be percent-encoded"
_MASTER_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""What Sentinel itself allows as a name."""


class Address(NamedTuple):
    """Host (name or IP address, IPv6 without brackets) and TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisEndpoint:
    """One Redis, by exactly one of `host`, `socket` and `sentinels` with `master`.

    `username`, `password` and `database` are for our own connections to Redis, not to the Sentinels; clients bring
    theirs. `tls` is for the Sentinels too.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False
    socket: Path | None = None
    sentinels: tuple[Address, ...] = ()
    master: str = ""

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix://{self.socket}?db={self.database}"
        scheme = "rediss" if self.tls else "redis"
        if self.sentinels:
            return f"{scheme}+sentinel://{','.join(map(str, self.sentinels))}/{self.master}/{self.database}"
        where = f"{Address(self.host, self.port)}/{self.database}"
        return f"rediss://{where}" if self.tls else where

    @classmethod
    def parse(cls, url: str) -> RedisEndpoint:
        """Read a URL.

        `redis://[[user]:password@]host[:port][/database]`, the same with `rediss://` for TLS,
        `unix://[[user]:password@]/path/to.sock[?db=database]`, and
        `redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/name[/database]`, the same with
        `rediss+sentinel://` for TLS to Redis and to its Sentinels. IPv6 addresses stand in brackets.

        Raises:
            ValueError: says what is wrong, without the password.
        """
        scheme, separator, rest = url.partition("://")
        scheme = scheme.lower()
        if scheme not in _SCHEMES or not separator:
            found = f", not '{scheme}://'" if re.fullmatch(r"[a-z0-9+.-]+", scheme) else ""
            raise ValueError(f"a Redis URL starts with {_FORMS}{found}")
        authority, tail = _split(rest, "/?#")
        credentials, at, hosts = authority.rpartition("@")
        username, password = _credentials(credentials) if at else (None, None)
        if scheme == "unix":
            path, database = _socket(hosts, tail)
            return cls(username=username, password=password, database=database, socket=path)
        if "@" in tail:
            raise ValueError(_ENCODE)
        path_text, options = _split(tail, "?#")
        if options:
            raise ValueError("the Redis URL has nothing behind the database number; leave the ? or # part away")
        tls = scheme.startswith("rediss")
        if scheme.endswith("+sentinel"):
            name, _, number = path_text.removeprefix("/").partition("/")
            if not _MASTER_NAME.fullmatch(name):
                raise ValueError(f"the Redis URL must name the Sentinels' master: {scheme}://host:26379/name")
            addresses = tuple(_address(host, DEFAULT_SENTINEL_PORT) for host in hosts.split(","))
            return cls("", DEFAULT_PORT, username, password, _database(number), tls, None, addresses, name)
        host, port = _address(hosts, DEFAULT_PORT)
        return cls(host, port, username, password, _database(path_text.strip("/")), tls)


def _split(text: str, separators: str) -> tuple[str, str]:
    """Split before the first of the separators; the second part begins with it, or is empty."""
    found = re.search(f"[{re.escape(separators)}]", text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def _credentials(text: str) -> tuple[str | None, str | None]:
    username, colon, password = text.partition(":")
    if "@" in text:
        raise ValueError(_ENCODE)
    if username and not colon:
        raise ValueError("the Redis URL names a user without a password; write user:password@ (user:@ if it has none)")
    return unquote(username) or None, unquote(password) if password or username else None


def _address(text: str, default_port: int) -> Address:
    found = re.fullmatch(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:,\s]*))(?P<port>:[^:]*)?", text)
    if found is None:
        raise ValueError(
            "the host of the Redis URL is not valid; an IPv6 address stands in brackets, as in [::1]:6379, "
            "and only Sentinels may be several"
        )
    host = (found["v6"] or found["host"] or "").lower()
    if not host:
        raise ValueError("the Redis URL names no host; write redis://host:port/database")
    if not found["port"] or found["port"] == ":":
        return Address(host, default_port)
    port = found["port"][1:]
    # What stands here may be a password whose host was forgotten, so it is not repeated.
    if not (port.isascii() and port.isdecimal() and len(port) <= len(str(LAST_PORT)) and 0 < int(port) <= LAST_PORT):
        raise ValueError(f"the port of the Redis URL must be a number from 1 to {LAST_PORT}")
    return Address(host, int(port))


def _database(text: str) -> int:
    if not text:
        return 0
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(LAST_DATABASE)) else -1
    if not 0 <= number <= LAST_DATABASE:
        raise ValueError(f"the Redis URL ends with a database number, not '{text}'")
    return number


def _socket(hosts: str, tail: str) -> tuple[Path, int]:
    path_text, options = _split(tail, "?#")
    if hosts or not path_text.strip("/"):
        raise ValueError(
            "the URL of a Unix socket is unix:///path/to.sock or unix://user:password@/path/to.sock; "
            "the characters / ? # @ of a user or password must be percent-encoded"
        )
    path = unquote(path_text)
    if len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"the path of a Unix socket has at most {MAX_SOCKET_PATH_BYTES} bytes")
    if not options:
        return Path(path), 0
    given = parse_qsl(options[1:], keep_blank_values=True)
    if options[0] != "?" or [name for name, _ in given] != ["db"]:
        raise ValueError("behind the path of a Unix socket only ?db=number may stand")
    return Path(path), _database(given[0][1])
