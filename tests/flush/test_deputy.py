"""The process that does the work of large flushes: when it starts, and how it ends in every case."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from sidecar.deputy.charge import COMMAND, Charge, environment
from sidecar.errors import DeputyLost, DeputyMissing
from sidecar.flush.deputy import Deputy
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushOrder, FlushOutcome
from tests.flush.deputies import ODD, TICKET, charge_of, odd_deputy, real_deputy
from tests.support.children import alive, freeze
from tests.support.waiting import eventually

NOT_DUE = FlushOutcome("not-due")

ANY = Charge(redis_url="redis://127.0.0.1:1", key_prefix="", project="")


async def ask(deputy: Deputy, instance: str = "i") -> FlushOutcome:
    """Have a preview of an empty memory made."""
    outcome: FlushOutcome = await deputy.do("preview", Definition(), order=FlushOrder("default", instance))
    return outcome


def pid(deputy: Deputy) -> int | None:
    """Return the process that runs now."""
    return deputy.pid


async def pid_of(deputy: Deputy) -> int:
    """Wait until it runs."""
    return await eventually(lambda: deputy.pid or 0, limit_s=30)


async def test_it_runs_from_the_first_errand_until_it_has_been_idle(redis_url: str) -> None:
    """At rest there is no process; the first errand starts one, the next finds it, and then it goes by itself."""
    deputy = real_deputy(redis_url, idle_s=0.5)
    assert pid(deputy) is None
    assert await ask(deputy) == NOT_DUE
    first = await pid_of(deputy)
    assert await ask(deputy) == NOT_DUE
    assert deputy.pid == first
    await eventually(lambda: deputy.pid is None)
    await eventually(lambda: not alive(first))
    assert await ask(deputy) == NOT_DUE
    assert deputy.pid not in (None, first)
    await deputy.close()


async def test_several_at_once_share_a_process(redis_url: str) -> None:
    """Flushes that begin at the same time start one process, and each gets its own answer."""
    deputy = real_deputy(redis_url)
    assert await asyncio.gather(*(ask(deputy, f"{number}") for number in range(5))) == [NOT_DUE] * 5
    pid = await pid_of(deputy)
    await deputy.close()
    assert not alive(pid)


async def test_it_yields_to_others(redis_url: str) -> None:
    """On a full machine the sidecar comes first."""
    deputy = real_deputy(redis_url)
    await ask(deputy)
    assert os.getpriority(os.PRIO_PROCESS, await pid_of(deputy)) > os.getpriority(os.PRIO_PROCESS, 0)
    await deputy.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_to_the_whole_group_do_not_end_it(redis_url: str, number: signal.Signals) -> None:
    """A sidecar that is stopped along with its group ends its flushes itself, and its deputy after them."""
    deputy = real_deputy(redis_url)
    await ask(deputy)
    pid = await pid_of(deputy)
    os.kill(pid, number)
    assert await ask(deputy) == NOT_DUE
    assert deputy.pid == pid
    await deputy.close()


async def test_a_killed_one_is_told_and_replaced(redis_url: str) -> None:
    """An errand whose process is killed says so, and the next one gets another process."""
    deputy = real_deputy(redis_url)
    await ask(deputy)
    first = await pid_of(deputy)
    await freeze(first)
    waiting = [asyncio.create_task(ask(deputy)) for _ in range(2)]
    await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    for each in waiting:
        with pytest.raises(DeputyLost, match="signal SIGKILL"):
            await each
    assert await ask(deputy) == NOT_DUE
    assert deputy.pid != first
    await deputy.close()


async def test_one_that_is_killed_while_idle_is_replaced(redis_url: str) -> None:
    """Nobody waits for it, so nobody notices."""
    deputy = real_deputy(redis_url)
    await ask(deputy)
    first = await pid_of(deputy)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: not alive(first))
    await eventually(lambda: deputy.pid is None)
    assert await ask(deputy) == NOT_DUE
    await deputy.close()


async def test_a_retired_one_ends_with_its_work(redis_url: str) -> None:
    """After a reload, what is under way is finished; what comes next gets a process that has read the files anew."""
    deputy = real_deputy(redis_url)
    deputy.retire()
    await ask(deputy)
    first = await pid_of(deputy)
    await freeze(first)
    under_way = asyncio.create_task(ask(deputy))
    await asyncio.sleep(0)
    deputy.retire()
    assert await ask(deputy) == NOT_DUE
    second = await pid_of(deputy)
    assert second != first
    os.kill(first, signal.SIGCONT)
    assert await under_way == NOT_DUE
    await eventually(lambda: not alive(first))
    assert alive(second)
    deputy.retire()
    await eventually(lambda: not alive(second))
    await deputy.close()


async def test_each_is_told_what_holds_when_it_is_started(redis_url: str) -> None:
    """The charge is asked for anew for every process: the level of the logs may have changed."""
    told: list[Charge] = []

    def charge() -> Charge:
        told.append(charge_of(redis_url))
        return told[-1]

    deputy = Deputy(COMMAND, environment=environment(), charge=charge)
    await ask(deputy)
    await ask(deputy)
    assert len(told) == 1
    deputy.retire()
    await ask(deputy)
    assert len(told) == 2
    await deputy.close()


async def test_an_errand_that_nobody_waits_for_is_recalled(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever is cancelled calls the work off, too; others go on."""
    deputy = odd_deputy("stuck")
    plan = asyncio.create_task(deputy.do("plan", Definition(), ticket=TICKET))
    preview = asyncio.create_task(ask(deputy, "other"))
    said: list[str] = []

    def has_said(line: str) -> bool:
        said.extend(capfd.readouterr().err.splitlines())
        return line in said

    # One that it has not begun is dropped without a word.
    await eventually(lambda: has_said("begun: plan run"))
    await eventually(lambda: has_said("begun: preview other"))
    plan.cancel()
    await eventually(lambda: has_said("recalled: plan run"))
    assert not has_said("recalled: preview other")
    assert not preview.done()
    await deputy.close()
    with pytest.raises(DeputyLost):
        await preview


async def test_close_ends_one_that_does_not_listen(redis_url: str) -> None:
    """A process that hangs is killed after a while."""
    deputy = real_deputy(redis_url)
    await ask(deputy)
    pid = await pid_of(deputy)
    await freeze(pid)
    async with asyncio.timeout(10):
        await deputy.close()
    assert not alive(pid)


async def test_close_without_a_process() -> None:
    """There is nothing to end."""
    await odd_deputy("stuck").close()


@pytest.mark.parametrize(
    ("command", "limit_s", "reason"),
    [
        (("/nowhere/python",), 30.0, "No such file or directory"),
        ((sys.executable, "-c", "raise SystemExit(3)"), 30.0, "exit code 3"),
        ((*ODD, "late"), 1.0, "not ready within 1 s"),
    ],
)
async def test_one_that_cannot_start(command: tuple[str, ...], limit_s: float, reason: str) -> None:
    """Then there is none, which is told apart from one that was lost: the work can be done here."""
    deputy = Deputy(command, environment=environment(), charge=lambda: ANY, start_limit_s=limit_s)
    with pytest.raises(DeputyMissing, match=reason):
        await ask(deputy)
    assert deputy.pid is None
    await deputy.close()


async def test_it_does_not_outlive_a_parent_that_is_killed(redis_url: str) -> None:
    """No orphan is left, without any farewell of the parent."""
    parent = await asyncio.create_subprocess_exec(
        *ODD, "holder", redis_url, stdout=asyncio.subprocess.PIPE, env=environment()
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not alive(pid))
