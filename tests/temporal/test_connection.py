"""The connection: what secures it, how its errors read, and what it does to the process."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode

from sidecar.dev.servers import TemporalServer
from sidecar.errors import EngineUnavailable
from sidecar.memory.ports import FlushHandle, FlushOrder
from sidecar.metrics import Metrics
from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.connection import Security, bounded, explain
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.worker import run_worker
from tests.support.certificates import Authority, Certificate
from tests.support.children import StartTemporal
from tests.support.tls_relay import Relay, tls_relay
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker
from tests.temporal.scripted import ScriptedSteps

HOST = "temporal.test"
"""Name on the server's certificate; it is not the address."""

HTTP2 = ["h2"]
"""What gRPC asks for in the handshake."""

API_KEY = "0" * 120
HUFFMAN_ZEROS = b"\0" * 70
"""Part of that key on the wire: HTTP/2 compresses headers, and the code of "0" is five zero bits."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificates of the test."""
    return Authority(tmp_path)


@pytest.fixture
def server_certificate(authority: Authority) -> Certificate:
    """The server's certificate, on a name that is not its address."""
    return authority.issue("temporal", hosts=[HOST])


async def healthy(relay: Relay, security: Security) -> bool:
    """Tell whether an engine gets through to Temporal."""
    engine = TemporalEngine(address=relay.address, security=security)
    answer = await engine.healthy()
    await engine.close()
    return answer


async def test_tls(temporal_server: TemporalServer, authority: Authority, server_certificate: Certificate) -> None:
    """With the authority and the name of its certificate, a server behind TLS is reached; with less it is not."""
    ca = authority.ca.read_bytes()
    async with tls_relay(temporal_server.address, server_certificate, alpn=HTTP2) as relay:
        assert await healthy(relay, Security(ca=ca, server_name=HOST))
        assert not await healthy(relay, Security())
        assert not await healthy(relay, Security(tls=True))
        assert not await healthy(relay, Security(ca=ca))


async def test_tls_is_wanted(temporal_server: TemporalServer) -> None:
    """With TLS on, nothing is said to a server that speaks plain text."""
    engine = TemporalEngine(address=temporal_server.address, security=Security(tls=True))
    with pytest.raises(EngineUnavailable):
        await engine.start(FlushOrder("chat", "i"))


async def test_client_certificates(
    temporal_server: TemporalServer, authority: Authority, server_certificate: Certificate
) -> None:
    """A server that asks who we are gets our certificate; without one it refuses us. The worker has it too."""
    ca = authority.ca.read_bytes()
    ours = authority.issue("sidecar")
    known = Security(ca=ca, server_name=HOST, certificate=ours.cert.read_bytes(), key=ours.key.read_bytes())
    async with tls_relay(temporal_server.address, server_certificate, clients=authority.ca, alpn=HTTP2) as relay:
        assert not await healthy(relay, Security(ca=ca, server_name=HOST))
        engine = TemporalEngine(address=relay.address, task_queue="tls", security=known)
        stop = asyncio.Event()
        activities = FlushActivities(steps=ScriptedSteps(), metrics=Metrics(), project="default")
        worker = asyncio.create_task(
            run_worker(activities=activities, stop=stop, address=relay.address, task_queue="tls", security=known)
        )

        async def started() -> FlushHandle | None:
            with contextlib.suppress(EngineUnavailable):  # a machine that is busy with other tests answers late
                return await engine.start(FlushOrder("chat", "tls"))
            return None

        handle = await eventually(started, limit_s=30)
        assert handle is not None
        assert (await handle.outcome()).status == "done"
        stop.set()
        await worker


async def test_an_api_key(
    temporal_server: TemporalServer, authority: Authority, server_certificate: Certificate
) -> None:
    """The API key goes along with every call, and never in plain text."""
    ca = authority.ca.read_bytes()
    async with tls_relay(temporal_server.address, server_certificate, alpn=HTTP2) as relay:
        assert await healthy(relay, Security(ca=ca, server_name=HOST))
        assert HUFFMAN_ZEROS not in relay.received
        assert await healthy(relay, Security(ca=ca, server_name=HOST, api_key=API_KEY))
        assert HUFFMAN_ZEROS in relay.received
    assert not await healthy(Relay(temporal_server.address), Security(api_key=API_KEY))


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (
            RuntimeError('Server connection error: Os { code: 111, message: "Connection refused" }'),
            "Temporal cannot be reached: Connection refused",
        ),
        (RuntimeError("something else"), "Temporal cannot be reached: something else"),
        (OSError("no route"), "Temporal cannot be reached: no route"),
        (TimeoutError(), "Temporal did not answer in time"),
        (RPCError("gone", RPCStatusCode.UNAVAILABLE, b""), "Temporal answered UNAVAILABLE: gone"),
    ],
)
def test_how_trouble_reads(trouble: Exception, text: str) -> None:
    """Whatever the SDK raises becomes one readable line."""
    assert explain(trouble) == text


async def test_bounded() -> None:
    """A call that does not end is ended, and the error says what it was and how long it was given."""
    with pytest.raises(EngineUnavailable, match=r"^the start: Temporal did not answer within 0.05 s$"):
        async with bounded(0.05, "the start"):
            await asyncio.get_running_loop().create_future()


async def test_bounded_lets_bugs_through() -> None:
    """An error that is not Temporal's is not called one."""
    with pytest.raises(KeyError):
        async with bounded(1, "the start"):
            raise KeyError("bug")


def run_python(script: str) -> str:
    """Run a script in an interpreter of its own and return its output."""
    # os._exit: an interpreter that ends with temporalio loaded may crash.
    script += "\nimport os, sys; sys.stdout.flush(); os._exit(0)\n"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


IMPORTS = """
import sidecar.temporal.activities, sidecar.temporal.connection, sidecar.temporal.messages
import sidecar.temporal.starter, sidecar.temporal.worker, sidecar.temporal.workflow
"""

THREADS = """
import os
def threads(): return len(os.listdir("/proc/self/task"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_importing_starts_no_thread() -> None:
    """Importing the package creates no runtime, so that a process may still fork."""
    assert run_python(f"{IMPORTS}{THREADS}print(threads())") == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_a_fork_gets_a_runtime_of_its_own() -> None:
    """A child does not use the runtime of its parent, whose threads it does not have."""
    script = f"""{THREADS}
from sidecar.temporal.connection import process_runtime
first = process_runtime()
assert process_runtime() is first
child = os.fork()
if child == 0:
    alone = threads()
    own = process_runtime() is not first
    print("child", alone, own, threads() > alone, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run_python(script) == "child 1 True True\n"


async def test_core_writes_no_raw_lines(
    start_temporal: StartTemporal,
    start_worker: StartWorker,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What the SDK's core has to say is a line of our log, not raw output."""
    server = start_temporal()
    with capture_logs() as logs:
        start_worker(ScriptedSteps(), address=server.address)
        await eventually(lambda: logs)
        server.kill()
        await eventually(
            lambda: [line for line in logs if line["event"] == "temporal.core" and "retried" in line["text"]],
            limit_s=30,
        )
    written = capfd.readouterr()
    assert "retried" not in written.out + written.err
