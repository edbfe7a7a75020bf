"""What several tests need: waiting for conditions, programs of the machine, real sidecars and workers."""

from __future__ import annotations
