"""Forwarding: SET, GET and RPUSH, which are none of the sidecar's business, straight to Redis and through it.

With HAProxy, where it is installed, as the measure of what a proxy costs that does not look at the bytes; with
nutcracker (twemproxy), where it is installed, as that of one in C which knows Redis's protocol and shares a connection;
and with redis-benchmark, where it is installed, as a second generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.conversation import messages
from benchmarks.load import deal, pack
from benchmarks.redis_benchmark import TOOL, ToolMeter
from benchmarks.rows import FORWARD, HAPROXY, NUTCRACKER
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, Meter
from benchmarks.stage import Stage

CONNECTIONS = 50
PIPELINES = (1, 16)

KEYS = 800
"""Keys that are written and read, each with a text of 250 bytes: 50 connections times pipelines of 16."""

TOOL_KEY = "benchmark"
"""redis-benchmark sends one command over and over, so it has one key."""

_COMMANDS = ("SET", "GET", "RPUSH")
_REDIS = "Redis"


def forward_cases(stage: Stage, *, own: bool, tool: Path | None) -> Iterator[Case]:
    """Return the cases.

    Args:
        own: whether our own generator is wanted.
        tool: redis-benchmark, if that is wanted.
    """
    for command in _COMMANDS:
        for pipeline in PIPELINES:
            if own:
                yield _case(stage, command, pipeline, "own", partial(_own, stage, command, pipeline))
            if tool is not None:
                yield _case(stage, command, pipeline, TOOL, partial(_with_tool, tool, command, pipeline))


def _case(stage: Stage, command: str, pipeline: int, generator: str, meter: Callable[[int], Meter]) -> Case:
    ports = {_REDIS: stage.redis_server.port}
    if stage.haproxy is not None:
        ports[HAPROXY] = stage.haproxy.port
    if stage.nutcracker is not None:
        ports[NUTCRACKER] = stage.nutcracker.port
    ports[MEMSIDECAR] = stage.sidecar.port

    def prepare() -> None:
        stage.empty()
        if command == "GET":
            stage.redis.mset({TOOL_KEY: messages(1)[0], **dict(zip(_keys(), messages(KEYS), strict=True))})

    return Case(
        scenario="forward",
        name=f"{command}, {CONNECTIONS} connections, pipeline {pipeline}"
        + ("" if generator == "own" else f", {generator}"),
        parameters={
            "command": command,
            "connections": CONNECTIONS,
            "pipeline": pipeline,
            "generator": generator,
        },
        contenders=[Contender(name, partial(meter, port)) for name, port in ports.items()],
        comparisons=[
            # One figure per row: that of our own generator, which is there everywhere.
            Comparison(MEMSIDECAR, name, row=FORWARD.get((command, pipeline, name)) if generator == "own" else None)
            for name in ports
            if name != MEMSIDECAR
        ],
        prepare=prepare,
    )


def _keys() -> list[str]:
    return [f"benchmark:{number:04}" for number in range(KEYS)]


def _own(stage: Stage, command: str, pipeline: int, port: int) -> Meter:
    texts = messages(KEYS)
    packed = [
        pack(command, key) if command == "GET" else pack(command, key, text)
        for key, text in zip(_keys(), texts, strict=True)
    ]
    return stage.meter(port, pipeline, deal(packed, connections=CONNECTIONS))


def _with_tool(program: Path, command: str, pipeline: int, port: int) -> Meter:
    words = [command, TOOL_KEY] if command == "GET" else [command, TOOL_KEY, messages(1)[0]]
    return ToolMeter(program, port=port, connections=CONNECTIONS, pipeline=pipeline, command=words)
