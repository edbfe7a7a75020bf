"""What the workers of the job queues run: jobs that leave a trace of every execution."""

from __future__ import annotations

import os

import redis

ADDRESS = "QUEUE_ADDRESS"
"""Environment variable with the address that the queue and its jobs use."""


def trace(number: int) -> int:
    """Count one execution of job `number`, keep it in a conversation, and return the square of the number."""
    with redis.Redis.from_url(os.environ[ADDRESS]) as client:
        client.hincrby("executed", str(number), 1)
        client.execute_command("MEMAPPEND", "jobs", "user", f"job {number}")
    return number * number


def fail(number: int) -> None:
    """Fail."""
    raise ValueError(f"job {number} fails on purpose")
