"""What a process does through each of its two fronts; with everything behind them: test_serving, test_supervising."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import Any

import pytest

from sidecar.app.building import make_dialer
from sidecar.app.fronts import HandedFront, OwnFront
from sidecar.app.merging import from_plain
from sidecar.app.worker import Post
from sidecar.config.settings import Settings
from sidecar.dev.ports import free_port
from sidecar.errors import ConfigurationError
from sidecar.metrics import Metrics
from tests.net.test_worker_link import Echo
from tests.support.waiting import eventually


async def ill() -> tuple[bool, object]:
    return False, {}


async def tired() -> str | None:
    return "tired"


async def test_our_own(redis_url: str) -> None:
    """It lets clients in at its own port, and nobody any more once it is shut; then it can still be watched."""
    settings = Settings(listen="127.0.0.1:0", http_listen=f"127.0.0.1:{free_port()}", redis_url=redis_url)
    dialer = make_dialer(settings)
    async with asyncio.TaskGroup() as background:
        front = OwnFront(
            settings, dialer, Echo, background=background, tls=None, metrics=Metrics(), ready=tired, health=ill
        )
        assert front.keeps_out() == "Redis has not answered yet"
        port = await asyncio.wait_for(front.open(), 10)
        assert front.keeps_out() is None
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await front.shut()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        _, watching = await asyncio.open_connection("127.0.0.1", int(settings.http_listen.rpartition(":")[2]))
        watching.close()
        writer.close()
        await front.close()
    await dialer.close()


async def test_a_taken_port(redis_url: str) -> None:
    """A port that is in use is a mistake of the setting that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(listen=where, http_listen="127.0.0.1:0", redis_url=redis_url)
        dialer = make_dialer(settings)
        async with asyncio.TaskGroup() as background:
            front = OwnFront(
                settings, dialer, Echo, background=background, tls=None, metrics=Metrics(), ready=tired, health=ill
            )
            with pytest.raises(ConfigurationError, match=f"listen: cannot listen on {where}"):
                await front.open()
            await front.shut()
            await front.close()
        await dialer.close()


async def test_the_supervisor_s() -> None:
    """It says that it is up, reports what the process counts and what keeps it from working, and notices the end."""
    clients, their_clients = socket.socketpair()
    talk, their_talk = socket.socketpair()
    post = Post(2, their_clients.detach(), their_talk.detach())
    assert os.fstat(post.talk)
    metrics, stop = Metrics(), asyncio.Event()
    metrics.messages_appended = 7
    async with asyncio.TaskGroup() as background:
        front = HandedFront(
            post,
            Echo,
            background=background,
            tls=None,
            metrics=metrics,
            ready=tired,
            health=lambda: {"healthy": False},
            reload=stop.clear,
            stop=stop,
        )
        reader, writer = await asyncio.open_unix_connection(sock=talk, limit=2**22)
        assert (await front.open(), front.keeps_out()) == (0, None)
        assert json.loads(await reader.readline()) == {"up": True}
        front.look()
        assert json.loads(await reader.readline()) == {"missed": True}
        writer.write(b"report\n")
        report: dict[str, Any] = json.loads(await reader.readline())["report"]
        assert (report["not_ready"], report["health"]) == ("tired", {"healthy": False})
        samples = {name: value for each in from_plain(report["families"]) for (name, _), value in each.samples.items()}
        assert samples["memsidecar_messages_appended_total"] == 7
        assert samples["process_resident_memory_bytes"] > 0
        writer.close()
        await eventually(stop.is_set, why="the supervisor's end is not noticed")
        await front.shut()
        await front.close()
    clients.close()
