"""Certificates for tests, made anew for each: nothing secret lies in the repository, and nothing expires in it.

They are made in this process, by `trustme`, so that no program has to be installed for them. `test_certificates` shows
what they are good for.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

LOCAL = ("localhost", "127.0.0.1")
"""Where the servers of the tests are."""

LONG_AGO = datetime(2001, 1, 1)
"""When an expired certificate ended; trustme lets all of them begin in 2000."""

PASSPHRASE = b"secret"
"""Opens the locked keys."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path

    def replace(self, other: Certificate) -> None:
        """Put another certificate into these files."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())

    def locked_keys(self) -> list[Path]:
        """Return files with the key behind a passphrase, one in each of the PEM formats in use."""
        key = load_pem_private_key(self.key.read_bytes(), password=None)
        forms = {"pkcs8": PrivateFormat.PKCS8, "traditional": PrivateFormat.TraditionalOpenSSL}
        made = {self.key.with_suffix(f".{name}"): form for name, form in forms.items()}
        for file, form in made.items():
            file.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(PASSPHRASE)))
        return list(made)


class Authority:
    """Issues certificates; `ca` is the PEM file that trusts them.

    `own` is the authority's certificate with its key, for tests in which one certificate has to do for everything.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self._authority = trustme.CA(organization_unit_name=name)
        self.own = self._write(name, self._authority.cert_pem, self._authority.private_key_pem)
        self.ca = self.own.cert

    def issue(self, name: str, *, hosts: Sequence[str] = LOCAL, expired: bool = False) -> Certificate:
        """Make a certificate whose subject is `name`, for clients and for servers at `hosts`: names and addresses."""
        made = self._authority.issue_cert(*hosts, common_name=name, not_after=LONG_AGO if expired else None)
        return self._write(f"{self._name}-{name}", made.cert_chain_pems[0], made.private_key_pem)

    def client_context(self, shown: Certificate | None = None) -> ssl.SSLContext:
        """Return what a client needs to trust this authority, and to show `shown` if it is asked who it is."""
        context = ssl.create_default_context(cafile=self.ca)
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
        return context

    def _write(self, stem: str, cert: trustme.Blob, key: trustme.Blob) -> Certificate:
        made = Certificate(self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        cert.write_to_path(made.cert)
        key.write_to_path(made.key)
        return made
