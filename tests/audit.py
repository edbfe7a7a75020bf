"""Looks the locked packages up among known vulnerabilities: `python -m tests.audit`, or `make audit`.

pip-audit asks OSV (https://osv.dev), the database of all of Python's advisories. Where that cannot be reached, what is
left is said and checked: that every package is pinned, by the hashes of its files. The exit code is 0 if nothing is
wrong, 1 if something is, 2 if pip-audit itself fails.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements/dev.txt"
"""It has every package of the other locks but the peers', in the same version: see tests/test_audit.py."""

DATABASE = "https://api.osv.dev/v1/query"

REACH_LIMIT_S = 5.0
"""For a connection to the database."""

AUDIT_LIMIT_S = 300.0
"""For a question and its answer about each of a hundred packages, with patience."""


class AuditFailed(click.ClickException):
    """pip-audit gave no report."""

    exit_code = 2


def unpinned(lock: str) -> list[str]:
    """Return the requirements of a lock file that allow more than one version, or files with other hashes."""
    requirements = re.split(r"\n(?=\S)", "\n".join(line for line in lock.splitlines() if not line.startswith("#")))
    return [each.split()[0] for each in requirements if each.strip() and not _pinned(each)]


def _pinned(requirement: str) -> bool:
    return re.match(r"[\w.\-\[\]]+==\S+ ", requirement) is not None and "--hash=sha256:" in requirement


def reachable(url: str) -> bool:
    """Return whether somebody listens there."""
    place = urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        with socket.create_connection((place.hostname or "", port), timeout=REACH_LIMIT_S):
            return True
    except OSError:
        return False


def findings(report: Any) -> list[str]:
    """Return what a report of pip-audit finds, a line each."""
    lines = []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            lines.append(f"{package['name']} could not be looked up: {package['skip_reason']}")
        for each in package.get("vulns", ()):
            mended = ", ".join(each["fix_versions"]) or "no version yet"
            lines.append(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}")
    return lines


def _report(lock: Path, database: str) -> Any:
    """Ask pip-audit. Raises AuditFailed."""
    command: Sequence[str | Path] = [
        *(sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"),
        *("--vulnerability-service", "osv", "--osv-url", database),
        *("--disable-pip", "--require-hashes", "--requirement", lock),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_LIMIT_S)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise AuditFailed(f"pip-audit failed:\n{done.stderr}") from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--lock", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=LOCK)
@click.option("--database", metavar="URL", default=DATABASE, help=f"OSV, or who answers like it [{DATABASE}].")
def main(lock: Path, database: str) -> None:
    """Say which locked packages have known vulnerabilities."""
    loose = unpinned(lock.read_text())
    if loose:
        raise click.ClickException(f"{lock.name} does not pin these by version and hash: {', '.join(loose)}")
    if not reachable(database):
        click.echo(f"audit: {database} cannot be reached; every package is pinned by hash, none was looked up.")
        return
    report = _report(lock, database)
    found = findings(report)
    if found:
        raise click.ClickException("\n".join(["known vulnerabilities:", *found]))
    click.echo(f"audit: {len(report['dependencies'])} packages, no known vulnerability.")


if __name__ == "__main__":
    main()
