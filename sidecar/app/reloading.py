"""SIGHUP: the memory definitions are read anew, and put in force for all parts at once; with them the level of logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sidecar.config.definitions import Definitions
from sidecar.config.finding import Finding
from sidecar.config.loading import log_level, read_definitions
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
from sidecar.logs import set_level
from sidecar.memory.catalogue import Catalogue
from sidecar.tokens.counter import load_counter

log = structlog.get_logger(__name__)


class DefinitionsReload:
    """Reads the definitions anew when asked. Each mistake is logged by its place, and what was in force stays.

    Args:
        settings: say where the definitions are.
        catalogue: what all parts hold; None for a supervisor, which has no memories: of the definitions only the level
            of the logs is its own, and its workers tell what is wrong with them.
        told: is called with how each reload ended: `done` or `refused`.
    """

    def __init__(
        self, settings: Settings, catalogue: Catalogue | None, *, told: Callable[[str], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._told = told
        self._running: asyncio.Task[None] | None = None
        self._again = False

    def start(self) -> None:
        """Begin a reload; one that is asked for while another runs follows it."""
        if self._running is not None and not self._running.done():
            self._again = True
            return
        self._running = asyncio.get_running_loop().create_task(self._reload(), name="reload-definitions")

    async def close(self) -> None:
        """Break off a reload that runs."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _reload(self) -> None:
        while True:
            self._again = False
            try:
                definitions = await asyncio.to_thread(self._read)
            except ConfigurationError as problem:
                self._refused(problem)
                self._told("refused")
            except Exception:
                log.exception("reload.failed", what="definitions")
                self._told("refused")
            else:
                self._put_in_force(definitions)
                self._told("done")
            if not self._again:
                return

    def _read(self) -> Definitions:
        definitions = read_definitions(self._settings)
        for definition in definitions.by_id.values() if self._catalogue is not None else ():
            # Loading takes a part of a second, which no client must pay.
            load_counter(definition.encoding, engine=self._settings.token_engine)
        return definitions

    def _put_in_force(self, definitions: Definitions) -> None:
        level = log_level(self._settings, definitions)
        set_level(level)
        if self._catalogue is None:
            log.info("reload.done", what="log_level", log_level=level)
            return
        known = definitions.by_id
        self._catalogue.replace(known, strict=definitions.strict, summarisers=definitions.summarisers)
        log.info("reload.done", what="definitions", log_level=level, definitions=len(known))

    def _refused(self, problem: ConfigurationError) -> None:
        for line in problem.problems if self._catalogue is not None else ():
            log.error("reload.refused", what="definitions", problem=line.logged if isinstance(line, Finding) else line)
