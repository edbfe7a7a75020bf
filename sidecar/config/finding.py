"""What is wrong with a definitions file: the whole of it for who wrote the file, and less for a log."""

from __future__ import annotations


class Finding(str):
    """What is wrong with one field of a file: for who has the file before them, whole. `logged` is what a log may show:
    where it is, and what is wrong unless that quotes a value.

    Args:
        text: the whole line.
        logged: of it.
    """

    __slots__ = ("logged",)

    logged: str

    def __new__(cls, text: str, logged: str) -> Finding:
        finding = super().__new__(cls, text)
        finding.logged = logged
        return finding
