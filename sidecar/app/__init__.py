"""The composition root: builds every object of a process from its settings, starts them, and stops them in order.

Three processes are built here: the sidecar (`serving`), the Temporal worker (`working`), and, where a sidecar has
several processes, the one that supervises them (`supervising`). Nothing else sees settings. A fourth one, for large
flushes, builds itself (`sidecar.deputy`), without all that only the others need.
"""

from __future__ import annotations

from sidecar.app.serving import serve
from sidecar.app.supervising import supervise
from sidecar.app.working import work

__all__ = ["serve", "supervise", "work"]
