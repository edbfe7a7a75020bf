"""The composition root: builds every object of a process from its settings, starts them, and stops them in order.

Two processes are built here, the sidecar (`serving`) and the Temporal worker (`working`). Nothing else sees settings.
The third one, for large flushes, builds itself (`sidecar.deputy`), without all that only the others need.
"""

from __future__ import annotations

from sidecar.app.serving import serve
from sidecar.app.working import work

__all__ = ["serve", "work"]
