"""The tests. They mirror `sidecar/`; `support` holds what several of them need, `e2e` runs whole programs."""

from __future__ import annotations
