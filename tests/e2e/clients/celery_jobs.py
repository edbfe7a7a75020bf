"""The Celery application whose worker the test starts: broker and results on one address."""

from __future__ import annotations

import os

from celery import Celery

from tests.e2e.clients.jobs import ADDRESS, trace

app = Celery("jobs", broker=os.environ.get(ADDRESS), backend=os.environ.get(ADDRESS))
app.task(name="trace")(trace)
