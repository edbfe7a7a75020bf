"""Clients for transcripts."""

from __future__ import annotations

import pytest

from tests.support.transcripts import Client


@pytest.fixture
def client() -> Client:
    """A client that has just connected."""
    return Client()


@pytest.fixture
def ready() -> Client:
    """A client whose MEM commands run at once: its first fence has come back."""
    return Client().ready()
