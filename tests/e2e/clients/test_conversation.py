"""One conversation, `conversation.json`, with every client: each gets the same replies, as its protocol writes them.

The clients in JavaScript have it in `test_javascript`.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import hiredis
import pytest
import redis
import redis.asyncio

from sidecar.dev.binaries import maybe_find_redis_cli
from sidecar.dev.servers import SidecarProcess
from tests.e2e.contract.speaking import Speaker, refusal
from tests.e2e.dialogue import Dialogue, Refusal, Rehearsal, Reply, from_file, in_resp2
from tests.support.requirements import require_program

LIMIT_S = 10.0

FILE = Path(__file__).with_name("conversation.json")

both_protocols = pytest.mark.parametrize("protocol", [2, 3])


@pytest.fixture
def conversation() -> Dialogue:
    """What is said."""
    return from_file(FILE)


@both_protocols
def test_redis_py(front: SidecarProcess, conversation: Dialogue, protocol: int) -> None:
    """redis-py, blocking."""
    speaker = Speaker(front.port, protocol)
    speaker.hold(conversation)
    speaker.close()


@both_protocols
async def test_redis_py_asyncio(front: SidecarProcess, conversation: Dialogue, protocol: int) -> None:
    """redis-py on asyncio."""
    rehearsal = Rehearsal(protocol, "asyncio")
    async with redis.asyncio.Redis(port=front.port, protocol=protocol, decode_responses=True) as client:
        for step in conversation.steps:
            try:
                reply = await client.execute_command(*rehearsal.words(step))  # type: ignore[no-untyped-call]
            except redis.ResponseError as problem:
                reply = refusal(problem)
            rehearsal.check(step, reply)


@both_protocols
def test_a_bare_reader(front: SidecarProcess, conversation: Dialogue, protocol: int) -> None:
    """A socket and hiredis, which parses replies and knows nothing of commands."""
    rehearsal = Rehearsal(protocol, "bare")
    reader = hiredis.Reader(encoding="utf-8", notEnoughData=NotImplemented)
    with socket.create_connection(("127.0.0.1", front.port), timeout=LIMIT_S) as connection:

        def ask(*words: str) -> Reply:
            connection.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]  # it takes texts, too
            while (reply := reader.gets()) is NotImplemented:
                data = connection.recv(65536)
                assert data, "the connection was closed"
                reader.feed(data)
            return Refusal(str(reply)) if isinstance(reply, hiredis.ReplyError) else reply

        ask("HELLO", str(protocol))
        for step in conversation.steps:
            rehearsal.check(step, ask(*rehearsal.words(step)))


@both_protocols
def test_redis_cli(front: SidecarProcess, conversation: Dialogue, protocol: int) -> None:
    """redis-cli, called from a shell once for each command; what it prints is compared."""
    program = maybe_find_redis_cli() or require_program("redis-cli")
    rehearsal = Rehearsal(protocol, "cli")
    command = [str(program), *(["-3"] if protocol == 3 else []), "-p", str(front.port)]
    for step in conversation.steps:
        ran = subprocess.run([*command, *rehearsal.words(step)], capture_output=True, timeout=LIMIT_S, check=True)
        said = ran.stdout.decode().removesuffix("\n")
        if isinstance(step.reply, Refusal):
            rehearsal.check(step, Refusal(said))
        else:
            rehearsal.check_text(step, printed(step.reply if protocol == 3 else in_resp2(step.reply)), said)


def printed(reply: Reply) -> str:
    """Return what redis-cli prints into a pipe: a line for each element, or for each entry of a map."""
    if isinstance(reply, bool):
        return "(true)" if reply else "(false)"
    if isinstance(reply, dict):
        return "\n".join(f"{name} {printed(value)}" for name, value in reply.items())
    if isinstance(reply, list):
        return "\n".join(map(printed, reply))
    return "" if reply is None else str(reply)
