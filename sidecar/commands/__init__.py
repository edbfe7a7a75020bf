"""The MEM commands as data: how each is called, parsed and answered. Nothing here does I/O."""
