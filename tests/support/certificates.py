"""Certificates for tests, made with openssl: an authority, and what it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def self_signed(directory: Path, name: str) -> Certificate:
    """Make a certificate for `name` that is its own authority."""
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate), "-days", "1", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName={_kind(name)}:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    return made


def sign(directory: Path, name: str, authority: Certificate, *, days: int = 1) -> Certificate:
    """Make a certificate for `name` that `authority` has signed; with negative `days` it has expired."""
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    request = directory / f"{name}.csr"
    extension = directory / f"{name}.ext"
    extension.write_text(f"subjectAltName={_kind(name)}:{name}\nbasicConstraints=CA:FALSE\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new += ["-keyout", str(made.key), "-out", str(request), "-subj", f"/CN={name}"]
    issue = ["openssl", "x509", "-req", "-in", str(request), "-CA", str(authority.certificate)]
    issue += ["-CAkey", str(authority.key), "-CAcreateserial", "-days", str(days)]
    issue += ["-extfile", str(extension), "-out", str(made.certificate)]
    for command in (new, issue):
        subprocess.run(command, check=True, capture_output=True)
    return made


def _kind(name: str) -> str:
    try:
        ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"
