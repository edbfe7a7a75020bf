"""Crews of `careless` drivers on a real Redis."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.catalogue import Guarantees, Peer
from benchmarks.peers.crew import Crew
from benchmarks.peers.drivers.protocol import Place
from benchmarks.peers.work import write_texts


def careless(*flaws: str) -> Peer:
    """Return the peer whose driver is `careless`, run by the interpreter of these tests."""
    return Peer(
        name="Careless",
        environment=None,
        module=["tests.benchmarks.peers.careless", *flaws],
        client="redis-py",
        packages=["redis"],
        guarantees=Guarantees("no", "no order", "lost", "no", "none", "none"),
        source="tests.benchmarks.peers.careless.Careless",
    )


def opened(crew: Crew, url: str, directory: Path) -> Crew:
    """Return the crew with its memory opened."""
    texts = directory / "texts.json"
    write_texts(texts)
    crew.open(Place(url=url, memory="careless", budget=8_000), texts)
    return crew
