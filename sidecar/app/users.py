"""What executes the MEM commands of one user of Redis, over that user's own connection."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from weakref import WeakSet

from sidecar.commands.messages import from_fields
from sidecar.config.settings import Settings
from sidecar.flush.steps import FlushSteps
from sidecar.flush.undo import Undo
from sidecar.memory.addressing import Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import PrivacyPolicy
from sidecar.memory.health import Health
from sidecar.memory.keys import KeySpace
from sidecar.memory.ports import FlushEngine, TextCounter
from sidecar.memory.service import MemoryService
from sidecar.metrics import Metrics
from sidecar.privacy.redaction import Redactor
from sidecar.store.changes import Changes, Standing
from sidecar.store.fork import Forks
from sidecar.store.kept_reads import KeptReads
from sidecar.store.locks import LockManager
from sidecar.store.memory_store import MemoryStore
from sidecar.store.pipe import Pipe
from sidecar.store.wakeups import Wakeups
from sidecar.store.walk import Walk
from sidecar.tokens.models import encoding_for_model


class Users:
    """Makes a memory service for each user.

    Args:
        settings: limits.
        space: where the memories are.
        catalogue: the definitions in force.
        counter: returns the counter of an encoding.
        engine, steps, undo: run, plan and undo flushes, with the process's own rights.
        wakeups: tells of appends and released locks.
        metrics: counts.
        due: is told a memory that has become due for a flush, and of which trace that was.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        space: KeySpace,
        catalogue: Catalogue,
        counter: Callable[[str], TextCounter],
        engine: FlushEngine,
        steps: FlushSteps,
        undo: Undo,
        wakeups: Wakeups,
        metrics: Metrics,
        due: Callable[[Memory, str], None],
    ) -> None:
        self._settings = settings
        self._space = space
        self._catalogue = catalogue
        self._counter = counter
        self._engine = engine
        self._steps = steps
        self._undo = undo
        self._wakeups = wakeups
        self._metrics = metrics
        self._due = due
        self._locks: WeakSet[LockManager] = WeakSet()
        self._standing = Standing()
        self._kept_reads = KeptReads(settings.max_kept_bytes)

    def store(self, pipe: Pipe) -> MemoryStore:
        """Return the memories over a connection."""
        # A name of its own for each: the numbers that tell a repeated change are counted per connection.
        changes = Changes(
            pipe=pipe,
            sidecar_id=secrets.token_hex(6),
            on_due=self._due,
            wakeups=self._wakeups,
            tally=self._metrics,
            standing=self._standing,
        )
        return MemoryStore(pipe=pipe, changes=changes, kept_reads=self._kept_reads)

    def service(self, pipe: Pipe, health: Health) -> MemoryService:
        """Return what executes the commands of a user over this user's connection."""
        locks = LockManager(pipe, self._wakeups, self._metrics)
        self._locks.add(locks)
        return MemoryService(
            store=self.store(pipe),
            locks=locks,
            forks=Forks(pipe, locks),
            walk=Walk(pipe, self._space),
            watches=self._wakeups,
            counter=self._counter,
            encoding_for_model=encoding_for_model,
            redactor=redactor,
            catalogue=self._catalogue,
            engine=self._engine,
            preview=self._steps,
            undo=self._undo,
            health=health,
            tally=self._metrics,
            max_request_messages=self._settings.max_request_messages,
        )

    @property
    def lock_waiters(self) -> int:
        """Locks and changes of this process that wait for somebody else's lease now."""
        return sum(locks.waiters for locks in self._locks) + self._standing.count


def redactor(policy: PrivacyPolicy) -> Redactor:
    """Return what carries out a privacy policy."""
    return Redactor(policy, rebuild=from_fields)
