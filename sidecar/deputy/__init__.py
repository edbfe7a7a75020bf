"""The process that does the work of large flushes for a sidecar (`sidecar.flush.deputy` starts it).

`charge` is what it is told, `__main__` starts it, `process` builds its objects and runs it. It imports no more than it
needs, and nothing imports it but `app`, for the charge.
"""
