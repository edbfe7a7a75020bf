"""Where Redis is, read from a URL (https://www.iana.org/assignments/uri-schemes/prov/redis)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

DEFAULT_PORT = 6379


@dataclass(frozen=True, slots=True)
class RedisEndpoint:
    """One Redis. `username`, `password` and `database` are for our own connections; clients bring theirs."""

    host: str
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"

    @classmethod
    def parse(cls, url: str) -> RedisEndpoint:
        """Read `redis://[[user]:password@]host[:port][/database]`.

        Raises:
            ValueError: says what is wrong, without the password.
        """
        parts = urlsplit(url)
        if parts.scheme != "redis":
            raise ValueError(f"a Redis URL starts with redis://, not '{parts.scheme}://'")
        if "@" in parts.path + parts.query + parts.fragment:
            raise ValueError("in the Redis URL, the characters / ? # of a user or password must be percent-encoded")
        if not parts.hostname:
            raise ValueError("the Redis URL names no host; write redis://host:port/database")
        database = parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise ValueError(f"the Redis URL ends with a database number, not '{database}'")
        return cls(
            host=parts.hostname,
            port=parts.port or DEFAULT_PORT,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            database=int(database),
        )
