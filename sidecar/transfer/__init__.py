"""Memories out of Redis and into it: as JSON lines (`lines`), and from the lists of another engine (`compozy`).

`exporting` writes and `importing` stores, over `store.outgoing` and `store.incoming`. Whatever the source, it gives the
same records; one memory at a time passes through, one page at a time.
"""
