"""Tests of the Temporal engine: on real Temporal servers, and where it matters on a real Redis too."""

from __future__ import annotations
