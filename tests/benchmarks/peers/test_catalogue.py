"""The peers, their locks and their drivers belong together."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from benchmarks.peers.catalogue import LEFT_OUT, OWN, PEERS, ROOT, Peer


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.environment)
def test_a_peer_is_locked_with_hashes(peer: Peer) -> None:
    """Each package whose version is told is pinned in the peer's lock, and every pin has hashes."""
    lock = (ROOT / "requirements" / "peers" / f"{peer.environment}.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==\S+ .*\\\n    --hash=sha256:", lock, re.MULTILINE)
    assert set(peer.packages) <= set(pins)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE))


def test_make_knows_every_peer() -> None:
    """The Makefile makes the environments that the catalogue names."""
    (named,) = re.findall(r"^PEERS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named.split() == [peer.environment for peer in PEERS]


@pytest.mark.parametrize("peer", [*PEERS, *OWN.values()], ids=lambda peer: peer.name)
def test_a_driver_imports_nothing_of_ours_but_the_protocol(peer: Peer) -> None:
    """It runs where neither memsidecar nor what memsidecar depends on is installed."""
    tree = ast.parse((ROOT / f"{peer.module[0].replace('.', '/')}.py").read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {name for name in imported if name.split(".")[0] in {"benchmarks", "sidecar", "tests"}}
    assert ours == {"benchmarks.peers.drivers.protocol"}


def test_the_protocol_needs_the_standard_library_only() -> None:
    """Nothing that it imports comes from an environment."""
    code = "import benchmarks.peers.drivers.protocol, sys; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    strangers = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"benchmarks", "__main__", "__mp_main__"}
    assert {name for name in strangers if not name.startswith("_")} == set()


def test_the_peers_are_listed_with_those_left_out() -> None:
    """`--list` names who is measured and who is not, and why."""
    command = [sys.executable, "-m", "benchmarks.peers", "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *(peer.environment for peer in PEERS),
        *["(left"] * len(LEFT_OUT),
    ]
    assert all(each.why in done.stdout for each in LEFT_OUT)
