"""The only place that talks to Redis about memories.

One Lua script per atomic step in `lua/`, found through `scripts`. `memory_store` is the hot path over our own
connections, `flush_store` and `outbox` are the cold one over redis-py.
"""
