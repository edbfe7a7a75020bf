"""A Redis with users, a sidecar in front of it, and clients that log in to either."""

from __future__ import annotations

import socket

import hiredis
import redis

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.support.children import StartSidecar

MEMORY_RIGHTS = ("+@all", "-acl", "resetkeys", "~mem:*", "~app:*")
"""What a user of memories may do here; it may not ask for its own name, as most users in production."""

LIMIT_S = 20.0


class Redis:
    """A client without ideas of its own: it sends what it is told, and reads as many replies as it is told."""

    def __init__(self, server: RedisServer | SidecarProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)
        self._reader = hiredis.Reader(encoding="utf-8", notEnoughData=NotImplemented)

    def send(self, *lines: str) -> None:
        """Send commands whose words stand between spaces, in one write."""
        self._socket.sendall(b"".join(hiredis.pack_command(tuple(line.split(" "))) for line in lines))  # type: ignore[arg-type]

    def reply(self) -> object:
        """Return the next reply; an error as its line, with the sign in front."""
        while (reply := self._reader.gets()) is NotImplemented:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            self._reader.feed(data)
        return f"-{reply}" if isinstance(reply, hiredis.ReplyError) else reply

    def ask(self, *lines: str) -> object:
        """Send commands and return the last one's reply."""
        self.send(*lines)
        return [self.reply() for _ in lines][-1]

    def finish(self) -> None:
        """Say that nothing more comes."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def ended(self) -> bool:
        """Whether the other side closes the connection within the limit."""
        try:
            self.reply()
        except (EOFError, ConnectionError):
            return True
        return False


class Place:
    """A Redis with users, a sidecar in front of it, and clients of both."""

    def __init__(self, server: RedisServer, start_sidecar: StartSidecar) -> None:
        self.server = server
        self.clients: list[Redis] = []
        self._start_sidecar = start_sidecar
        self._sidecar: SidecarProcess | None = None
        self.admin = redis.Redis(port=server.port, decode_responses=True)  # as long as it lives it may do everything
        self.admin.ping()
        self.user("ann", *MEMORY_RIGHTS)
        self.user("bob", "+@all", "resetkeys", "~app:*")

    def user(self, name: str, *rules: str) -> None:
        self.admin.execute_command("ACL", "SETUSER", name, "on", f">secret-{name}", *rules)  # type: ignore[no-untyped-call]

    def acl(self, *words: str) -> None:
        self.admin.execute_command("ACL", *words)  # type: ignore[no-untyped-call]

    def start(self, authority: str = "", path: str = "") -> SidecarProcess:
        """Start the sidecar with a URL of these parts."""
        self._sidecar = self._start_sidecar(
            redis_url=f"redis://{authority}127.0.0.1:{self.server.port}{path}",
            settings={"MEMSIDECAR_LOG_LEVEL": "debug"},
        )
        return self._sidecar

    @property
    def sidecar(self) -> SidecarProcess:
        return self._sidecar or self.start()

    def client(self, *first: str) -> Redis:
        """Connect to the sidecar and say something, which must not fail."""
        return self._speak(Redis(self.sidecar), *first)

    def direct(self, *first: str) -> Redis:
        """Connect to Redis itself."""
        return self._speak(Redis(self.server), *first)

    def _speak(self, client: Redis, *first: str) -> Redis:
        self.clients.append(client)
        for line in first:
            assert not str(client.ask(line)).startswith("-"), line
        return client

    def messages(self, instance: str, database: int = 0) -> int:
        """Count the messages of a memory in Redis itself."""
        with redis.Redis(port=self.server.port, db=database, username="ann", password="secret-ann") as reader:
            return sum(reader.xlen(key) for key in reader.scan_iter(f"mem:log:*:{instance}"))

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.admin.close()


def append(instance: str = "m") -> str:
    return f"MEMAPPEND {instance} user hello"


def stored(reply: object) -> bool:
    return isinstance(reply, list | dict)


def noperm(reply: object) -> bool:
    return str(reply).startswith("-NOPERM ")
