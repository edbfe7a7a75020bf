"""Compaction: the steps of a flush, what runs them, and what finds the memories that are due.

`steps` does the work over the store and is shared by both engines, `local` here and `sidecar.temporal`.
`dispatcher` and `sweeper` turn marks in the outbox into started flushes. Importing this imports nothing.
"""
