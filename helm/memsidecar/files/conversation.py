"""A conversation through the gateway, for `helm test`: append, read, clear, with the image's own Redis client."""

from __future__ import annotations

import os
import secrets
import urllib.parse
from typing import Any

import redis

host, _, port = os.environ["GATEWAY"].rpartition(":")
own = urllib.parse.urlsplit(os.environ["MEMSIDECAR_REDIS_URL"])
client: Any = redis.Redis(
    host=host,
    port=int(port),
    username=urllib.parse.unquote(own.username) if own.username else None,
    password=urllib.parse.unquote(own.password) if own.password else None,
    # That it answers is the question here, not whether its certificate names this service.
    ssl="MEMSIDECAR_TLS_CERT" in os.environ,
    ssl_cert_reqs="none",
    ssl_check_hostname=False,
    protocol=3,
    decode_responses=True,
    socket_timeout=20,
)
key = f"{os.environ['DEFINITION']}:helm-test-{secrets.token_hex(8)}"
try:
    client.execute_command("MEMAPPEND", key, "user", "Where is my parcel?", "assistant", "It left Rotterdam at 14:05.")
    read = client.execute_command("MEMREAD", key, "TOKENS", 2000)
    assert "Rotterdam" in str(read), read
finally:
    client.execute_command("MEMCLEAR", key)
print("The gateway stored a conversation and gave it back.")
