"""Every query of the dashboard has data where a real Prometheus looks at a real sidecar that has something to do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.monitoring.panels import ROWS
from tests.monitoring.picture import SHOWN, drawn
from tests.monitoring.stage import WINDOW_S, asked, staged
from tests.support.children import Children
from tests.support.requirements import require_program

LIMIT_S = 60.0
"""Two scrapes and a round of the load suffice: seconds, on an idle machine."""


@pytest.mark.timeout(200)
async def test_every_query_has_data(children: Children, redis_program: Path, tmp_path: Path) -> None:
    """While the load goes on, each query of each panel comes to answer with a number; the main ones can be drawn."""
    missing = {(panel.title, query.expression) for row in ROWS for panel in row.panels for query in panel.queries}
    queries = {
        (panel.title, query.expression): query for row in ROWS for panel in row.panels for query in panel.queries
    }
    async with staged(children, redis_program, require_program("prometheus"), tmp_path) as stage:

        async def look() -> None:
            while missing:
                for each in sorted(missing):
                    found = await asyncio.to_thread(stage.prometheus.now, asked(queries[each]))
                    if any(series.points for series in found):
                        missing.discard(each)

        looking = asyncio.create_task(look())
        begun = time.time()

        def seen() -> bool:
            """Whether it is all there, and for long enough to make lines of it, or takes too long."""
            return (looking.done() and time.time() > begun + WINDOW_S) or time.time() > begun + LIMIT_S

        await stage.life.live(until=seen, pause_s=0.2)
        if looking.done():
            await looking
        looking.cancel()
        assert missing == set()
        picture = await asyncio.to_thread(drawn, stage, begun, time.time())
    assert picture.count("<path") >= len(SHOWN)
