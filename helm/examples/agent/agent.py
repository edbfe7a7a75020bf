"""An agent without a model: it answers what it is asked with what it remembers, once a minute."""

from __future__ import annotations

import json
import os
import time
import urllib.parse
from typing import Any

import redis

login = urllib.parse.urlsplit(os.environ.get("REDIS_LOGIN", ""))
memory: Any = redis.Redis.from_url(
    os.environ["REDIS_URL"],  # leads through the sidecar
    username=urllib.parse.unquote(login.username) if login.username else None,
    password=urllib.parse.unquote(login.password) if login.password else None,
    protocol=3,
    decode_responses=True,
)
turns = int(os.environ.get("TURNS", "-1"))  # -1: for ever
while turns:
    memory.execute_command("MEMAPPEND", "chat:42", "user", "What do you remember?")
    messages = json.loads(memory.execute_command("MEMREAD", "chat:42", "TOKENS", 2000, "FORMAT", "OPENAI"))
    memory.execute_command("MEMAPPEND", "chat:42", "assistant", f"I remember {len(messages)} messages.")
    print(f"I remember {len(messages)} messages.", flush=True)
    turns -= 1
    time.sleep(60 if turns else 0)
