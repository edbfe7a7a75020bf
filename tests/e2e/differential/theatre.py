"""A Redis, a real sidecar in front of it, and a clean stage for each run of a sequence."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from sidecar.dev.servers import RedisServer
from tests.e2e.differential.comparison import differences, differences_of_mixed, without_slots
from tests.e2e.differential.mixing import Mix, collapse, is_fence_line, mix
from tests.e2e.differential.peer import LIMIT_S, Peer
from tests.e2e.differential.rules import without_what_may_differ
from tests.e2e.differential.script import Sequence
from tests.e2e.differential.stage import Insertions, Pace, Play, Transcript, Way
from tests.e2e.differential.wire import split

AFTERWARDS: tuple[tuple[bytes, ...], ...] = (
    (b"CLIENT", b"UNPAUSE"),
    (b"FLUSHALL",),
    (b"SCRIPT", b"FLUSH"),
    (b"FUNCTION", b"FLUSH"),  # an older server refuses it, and has none
    (b"CONFIG", b"RESETSTAT"),
    (b"SLOWLOG", b"RESET"),
    (b"ACL", b"LOG", b"RESET"),
    (b"LATENCY", b"RESET"),
)
"""What clears the stage, besides users and settings."""


class Theatre:
    """Where sequences are played, on both ways. `sidecar_port` may be that of anything that leads to a sidecar."""

    def __init__(self, redis: RedisServer, sidecar_port: int, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._redis = Peer(redis.port)
        self._direct = Way(redis.port, self._redis, direct=True)
        self._sidecar = Way(sidecar_port, self._redis, direct=False)
        self._settings = self._configuration()
        found = re.search(rb"redis_version:([\d.]+)", self._redis.ask(b"INFO", b"server"))
        assert found is not None
        self.version = tuple(int(part) for part in found[1].split(b"."))

    def close(self) -> None:
        self._sidecar.close()
        self._redis.close()

    def clean(self) -> None:
        """Take back whatever a sequence has left behind."""
        ask = self._redis.ask
        ask(b"ACL", b"SETUSER", b"default", b"reset", b"on", b"nopass", b"~*", b"&*", b"+@all")
        for user in _strings(ask(b"ACL", b"USERS")):
            if user != b"default":
                ask(b"ACL", b"DELUSER", user)
        settings = self._configuration()
        for name, value in self._settings.items():
            if settings.get(name) != value:
                ask(b"CONFIG", b"SET", name, value)
        for words in AFTERWARDS:
            ask(*words)

    def _configuration(self) -> dict[bytes, bytes]:
        found = _strings(self._redis.ask(b"CONFIG", b"GET", b"*"))
        return dict(zip(found[::2], found[1::2], strict=True))

    def directly(self, sequence: Sequence, insertions: Insertions | None = None) -> Transcript:
        """Play on Redis directly; this sets the pace."""
        self.clean()
        ignore = is_fence_line if insertions is not None else None
        enforce = self.version >= sequence.since
        return Play(sequence, self._direct, insertions=insertions, ignore=ignore, enforce=enforce).run()

    def through_the_sidecar(self, sequence: Sequence, pace: Pace, mixed: Mix | None = None) -> Transcript:
        """Play through the sidecar, with MEM commands and cut into random segments if there is a mix."""
        self.clean()
        enforce = self.version >= sequence.since
        if mixed is None:
            return Play(sequence, self._sidecar, pace=pace, enforce=enforce, limit_s=self._limit_s).run()
        rng = random.Random(f"{sequence.name} {mixed.seed} cuts")

        def cut(data: bytes) -> list[bytes]:
            if rng.random() < 0.5 or len(data) < 2:
                return [data]
            at = rng.randrange(1, len(data))
            return [data[:at], data[at:]]

        return Play(
            sequence,
            self._sidecar,
            pace=pace,
            insertions=mixed.commands(),
            cut=cut,
            ignore=is_fence_line,
            enforce=enforce,
            limit_s=self._limit_s,
        ).run()

    def compare(self, sequence: Sequence) -> list[str]:
        """Play on both ways and return what was different."""
        direct = self.directly(sequence)
        return differences(sequence, direct, self.through_the_sidecar(sequence, direct.pace))

    def compare_mixed(self, sequence: Sequence, seed: str, *, special: bool) -> tuple[int, list[str]]:
        """The same with MEM commands at places that `seed` chooses; also returns how many there were."""
        mixed = mix(sequence, seed, special=special)
        reference = self.directly(sequence, mixed.standins())
        streams, pace = collapse(reference)
        found = []
        if not mixed.special:
            plain = self.directly(sequence)
            for name, kept in without_slots(streams).items():
                if _cleaned(sequence, kept) != _cleaned(sequence, plain.heard[name].replies):
                    found.append(f"the stand-ins changed what {name} hears: {plain.heard[name].replies} {kept}")
        played = self.through_the_sidecar(sequence, pace, mixed)
        found += differences_of_mixed(sequence, streams, reference, played, mixed)
        return len(mixed.places), found


def _cleaned(sequence: Sequence, replies: Iterable[bytes]) -> list[bytes]:
    return [without_what_may_differ(reply, sequence.rules) for reply in replies]


def _strings(reply: bytes) -> list[bytes]:
    """Return the bulk strings of an array that holds nothing else."""
    items, _ = split(reply[reply.index(b"\n") + 1 :])
    return [item[item.index(b"\n") + 1 : -2] for item in items]
