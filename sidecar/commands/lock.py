"""MEMLOCK and MEMUNLOCK."""

from __future__ import annotations

from sidecar.commands.arguments import Arguments
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import LockRequest, UnlockRequest
from sidecar.memory.results import LockGranted
from sidecar.resp.replies import Value


def parse_lock(items: list[bytes], resolve: Resolve) -> LockRequest:
    """Parse `key ttl-ms [WAIT ms] [RENEW token]`; the definition says how long leases and waits may be."""
    arguments = Arguments("MEMLOCK", items)
    memory = resolve(arguments.next("a key"))
    policy = memory.definition.locking
    request = LockRequest(memory, arguments.integer("ttl-ms"))
    while arguments:
        option = arguments.option()
        if option == b"WAIT":
            request.wait_ms = arguments.integer("WAIT")
        elif option == b"RENEW":
            request.renew = arguments.token("RENEW")
        else:
            raise arguments.unknown(option, "WAIT and RENEW")
    if not policy.min_lease_ms <= request.ttl_ms <= policy.max_lease_ms:
        raise SyntaxProblem(
            f"ttl-ms must be {policy.min_lease_ms} to {policy.max_lease_ms} for '{memory.definition.id}', not "
            f"{request.ttl_ms}; a longer turn extends its lease with RENEW"
        )
    if request.wait_ms > policy.max_wait_ms:
        raise SyntaxProblem(
            f"WAIT must be at most {policy.max_wait_ms} for '{memory.definition.id}', not {request.wait_ms}"
        )
    if request.renew is not None and request.wait_ms:
        raise SyntaxProblem("RENEW extends a lease that is held, which takes no WAIT; give one of them")
    return request


def render_lock(granted: LockGranted) -> Value:
    """Return the map of MEMLOCK."""
    return {
        "token": granted.token,
        "fence": granted.fence,
        "ttl-ms": granted.ttl_ms,
        "waited-ms": granted.waited_ms,
    }


def parse_unlock(items: list[bytes], resolve: Resolve) -> UnlockRequest:
    """Parse `key token`."""
    arguments = Arguments("MEMUNLOCK", items)
    request = UnlockRequest(resolve(arguments.next("a key")), arguments.token("MEMUNLOCK"))
    if arguments:
        raise SyntaxProblem.arity("MEMUNLOCK")
    return request


def render_unlock(released: bool) -> Value:
    """Return 1, or 0 if the lease was no longer held."""
    return int(released)
