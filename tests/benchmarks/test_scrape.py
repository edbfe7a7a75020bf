"""Reading /metrics."""

from __future__ import annotations

from benchmarks.scrape import Scrape
from tests.support.children import StartSidecar


def test_samples_are_summed_up_by_label(redis_url: str, sidecar_process: StartSidecar) -> None:
    """A real sidecar's figures: all of a name, those with a label, and the split by one."""
    sidecar = sidecar_process(redis_url=redis_url)
    scrape = Scrape(sidecar.metrics_url)
    assert scrape.total("memsidecar_build_info") == 1
    assert scrape.total("memsidecar_client_bytes_total", direction="out") >= 0
    assert set(scrape.by("memsidecar_client_bytes_total", "direction")) == {"in", "out"}
    assert scrape.total("nothing_of_this_name") == 0
