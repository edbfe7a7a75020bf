"""memsidecar's own drivers, on a real sidecar and a real Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.books import Account
from benchmarks.peers.catalogue import OWN, Client
from benchmarks.peers.crew import Crew
from benchmarks.peers.work import BUDGET_TOKENS, AppendMeter, Reading, ReadMeter, place, write_texts
from benchmarks.stage import Stage


@pytest.mark.parametrize("client", OWN)
def test_memsidecars_driver_measures_and_counts_right(tmp_path: Path, client: Client) -> None:
    """With either client: acknowledged appends are those that MEMINFO tells, and a read keeps within the budget."""
    texts = tmp_path / "texts.json"
    write_texts(texts)
    with Stage() as stage, Crew(OWN[client], 2) as crew:
        where = place(stage, crew)
        crew.open(where, texts)
        accounts: list[Account] = []
        AppendMeter(crew, stage.watched(), accounts).measure(seconds=0.2, warm_up_s=0.05)
        (account,) = accounts
        info = stage.ask("MEMINFO", where.memory)
        assert account.right
        assert account.acknowledged == dict(zip(info[::2], info[1::2], strict=True))[b"messages"] > 0

        stage.empty()
        crew.fill(1_000)
        readings: list[Reading] = []
        sample = ReadMeter(crew, stage.watched(), readings).measure(seconds=0.2, warm_up_s=0.05)
        (reading,) = readings
        assert sample.requests > 0
        assert 1 < reading.messages < 1_000
        assert reading.tokens <= BUDGET_TOKENS
