"""The only sockets of the sidecar: clients, Redis, HTTP. What bytes mean is decided in `session` and `commands`."""
