"""HAProxy's command line."""

from __future__ import annotations

from pathlib import Path

from benchmarks.haproxy import HaproxyServer


def test_it_forwards_bytes_to_redis_on_one_thread(tmp_path: Path) -> None:
    """The configuration names both ports, TCP mode and one thread, and lies where the command line says."""
    server = HaproxyServer(program=Path("/opt/haproxy"), port=1111, redis_port=2222, directory=tmp_path)
    program, *arguments = server.command()
    assert program == Path("/opt/haproxy")
    configuration = Path(arguments[-1])
    text = configuration.read_text(encoding="utf-8")
    for line in ("nbthread 1", "mode tcp", "bind 127.0.0.1:1111", "server redis 127.0.0.1:2222"):
        assert f"    {line}\n" in text
