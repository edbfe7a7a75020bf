"""Tests of the comparison with other libraries' memories. None of them needs those libraries."""

from __future__ import annotations
