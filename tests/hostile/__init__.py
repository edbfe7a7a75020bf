"""What an enemy could send: mutated protocol compared with Redis itself, and attacks on the sidecar's memory.

`python -m tests.hostile` runs both for longer and at full size; the tests here are CI's share of it.
"""
