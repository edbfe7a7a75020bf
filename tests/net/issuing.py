"""Certificates for tests, made by the `openssl` program: nothing secret lies in the repository, and nothing expires."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.requirements import require_program

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path

    def replace(self, other: Issued) -> None:
        """Put another certificate into these files."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


class Authority:
    """Issues certificates for localhost and 127.0.0.1; `ca` is the PEM file that trusts them."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self.ca = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.ca)

    def issue(self, name: str) -> Issued:
        """Make a certificate whose subject is `name`, good for servers and clients."""
        made = Issued(self._directory / f"{self._name}-{name}.crt", self._directory / f"{self._name}-{name}.key")
        request, extensions = made.cert.with_suffix(".csr"), made.cert.with_suffix(".ext")
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", "2", "-extfile", extensions, "-out", made.cert),
        )
        return made

    def client_context(self, shown: Issued | None = None) -> ssl.SSLContext:
        """Return what a client needs to trust this authority, and shows of itself."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
        return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([require_program("openssl"), *arguments], check=True, capture_output=True)
