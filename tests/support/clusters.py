"""A Redis in cluster mode: one node, which has no slots and knows nobody."""

from __future__ import annotations

from sidecar.dev.ports import free_port, is_free
from sidecar.dev.servers import RedisServer
from tests.support.children import StartRedis

BUS_OFFSET = 10_000
"""A node talks to the others at its port plus this, which must be a port, too."""


def cluster_port() -> int:
    """Return a free port whose bus port is free as well."""
    while True:
        port = free_port()
        if port + BUS_OFFSET <= 65_535 and is_free(port + BUS_OFFSET):
            return port


def start_cluster(start_redis: StartRedis, *arguments: str) -> RedisServer:
    """Start a node; `arguments` are options of redis-server."""
    return start_redis("--cluster-enabled", "yes", *arguments, port=cluster_port())
