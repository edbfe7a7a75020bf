"""What ends an export or an import. The texts are for a terminal; each says what is left behind."""

from __future__ import annotations

from sidecar.errors import MemsidecarError


class TransferProblem(MemsidecarError):
    """Memories that were done before it are done."""


class LineProblem(TransferProblem):
    """Something is wrong with the input.

    Args:
        name: of the file, or of the list on Redis.
        number: of the line, or place in the list, from 1.
        why: what is wrong.
    """

    def __init__(self, name: str, number: int, why: str) -> None:
        super().__init__(f"{name}:{number}: {why}")


class MemoryProblem(TransferProblem):
    """A memory cannot be transferred as it is now."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
