"""Tests of the benchmark harness. None of them depends on how fast anything is."""

from __future__ import annotations
