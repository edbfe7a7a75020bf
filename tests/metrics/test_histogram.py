"""Observations fall into the buckets that Prometheus wants."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.metrics.histogram import (
    FLUSH_BUCKETS_SECONDS,
    LAG_BUCKETS_SECONDS,
    LATENCY_BUCKETS_SECONDS,
    LOCK_BUCKETS_SECONDS,
    Histogram,
)


@pytest.mark.parametrize(
    "bounds", [LATENCY_BUCKETS_SECONDS, FLUSH_BUCKETS_SECONDS, LOCK_BUCKETS_SECONDS, LAG_BUCKETS_SECONDS]
)
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    """Buckets are in order, and no two are the same."""
    assert all(one < two for one, two in pairwise(bounds))


@given(st.lists(st.floats(0, 10) | st.sampled_from([0.5, 1.0, 2.0])))
def test_buckets_are_cumulative(observations: list[float]) -> None:
    """Each bucket has the observations up to its bound, the bound included; the last one has all."""
    histogram = Histogram((0.5, 1.0, 2.0))
    for seconds in observations:
        histogram.observe(seconds)
    assert histogram.cumulative() == [
        (bound, sum(seconds <= float(bound) for seconds in observations)) for bound in ("0.5", "1.0", "2.0", "+Inf")
    ]
    assert histogram.total == pytest.approx(sum(observations))
