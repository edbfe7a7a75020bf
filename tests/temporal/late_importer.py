"""A workflow in which the garbage collector might end a pool of redis-py; a module of its own for the sandbox."""

from __future__ import annotations

from temporalio import workflow

NAME = "LateImporter"


@workflow.defn(name=NAME)
class LateImporter:
    """Does what the end of a pool does, at a moment that can be chosen."""

    @workflow.run
    async def run(self) -> str:
        from redis.observability.recorder import record_connection_count

        return record_connection_count.__name__
