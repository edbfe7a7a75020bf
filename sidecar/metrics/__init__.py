"""What a process counts, and how Prometheus reads it.

`counters` is what the hot path adds to; `families` says what each metric is called and means, and where its values
are; `collector` puts the two together when somebody scrapes. docs/metrics.md is made of `families`.
"""

from __future__ import annotations

from sidecar.metrics.counters import Metrics

__all__ = ["Metrics"]
