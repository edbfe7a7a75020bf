"""The Redis wire format without I/O: requests in, replies out, and where a reply stream may be cut."""
