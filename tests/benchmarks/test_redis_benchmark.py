"""What redis-benchmark prints."""

from __future__ import annotations

import pytest

from benchmarks.redis_benchmark import parse

NEW = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"\n'
    '"SET key a text, with a comma","42826.55","0.6","0.1","0.575","1.2","2.5","9.0"\n'
)


def test_redis_7_tells_latencies() -> None:
    """Columns are found by their names; the number of requests is what was asked for."""
    sample = parse(NEW, 10_000)
    assert (sample.requests, sample.p50_ms, sample.p99_ms) == (10_000, 0.575, 2.5)
    assert sample.rate == pytest.approx(42_826.55)
    assert sample.cpu_s == {}


def test_redis_6_tells_a_rate_only() -> None:
    """Without a header there are a name and a rate, and latencies are not known."""
    sample = parse('WARNING: something\n"SET key value","1000.00"\n', 500)
    assert (sample.seconds, sample.p50_ms, sample.p99_ms) == (0.5, None, None)


@pytest.mark.parametrize("output", ["", "Could not connect\n", NEW.splitlines()[0]])
def test_no_result_is_an_error(output: str) -> None:
    """Output without a result is never taken for one."""
    with pytest.raises(ValueError, match="no result"):
        parse(output, 1)
