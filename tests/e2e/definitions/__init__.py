"""Every field of a definitions file shows its effect through a real sidecar, to a real client.

Each module has a `DEFINITIONS`: what a user would write into a file. One sidecar has the files of all modules, and each
test talks to memories of its own. `shows` says which field a test is about; `test_every_field` misses none.
"""
