"""Clients, tools and job queues that know nothing of the sidecar work through it unmodified."""
