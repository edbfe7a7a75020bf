"""How TLS to Redis and to its Sentinels is verified, and with which certificate we present ourselves.

There is no switch that turns verification off: whoever can pose as Redis gets every password and every message.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from sidecar.errors import ConfigurationError


class RedisTls:
    """Files, and the context made of them; shared by everything that connects to Redis.

    Args:
        ca: PEM file of the authorities that may have signed Redis's certificate; None means those of the system.
        cert: PEM file of our own certificate, for a Redis that asks for one; None means we have none.
        key: its key, not encrypted; goes with `cert`.
        server_name: the name that the certificate must hold; None means the host of the address. It is also what is
            asked for (SNI). With Sentinels it holds for them too.

    Raises:
        ConfigurationError: with every file that cannot be used, each line beginning with `redis_tls_…:`.
    """

    def __init__(
        self,
        *,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        server_name: str | None = None,
    ) -> None:
        self._ca = ca
        self._cert = cert
        self._key = key
        self.server_name = server_name
        self._context = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        return self._context

    def reload(self) -> None:
        """Read the files anew; running connections keep what they have.

        Raises:
            ConfigurationError: a file cannot be used; the old context stays.
        """
        self._context = self._load()

    def _load(self) -> ssl.SSLContext:
        problems: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        if self._ca is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(self._ca)
            except OSError as problem:  # ssl.SSLError is one
                problems.append(f"redis_tls_ca: {self._ca}: {_reason(problem, 'holds no certificate in PEM format')}")
        if self._cert is not None and self._key is not None:
            try:
                context.load_cert_chain(self._cert, self._key, password=_no_password)
            except (OSError, ValueError) as problem:
                text = _reason(problem, "are no certificate and key in PEM format")
                problems.append(f"redis_tls_cert: {self._cert} and {self._key}: {text}")
        elif self._cert is not None or self._key is not None:
            problems.append("redis_tls_cert: a certificate and its key (redis_tls_key) go together")
        if problems:
            raise ConfigurationError(problems)
        return context


def _no_password() -> NoReturn:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted; a sidecar cannot ask for its password")


def _reason(problem: Exception, not_pem: str) -> str:
    if not isinstance(problem, ssl.SSLError):
        return (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    return "the key is not that of the certificate" if problem.reason == "KEY_VALUES_MISMATCH" else not_pem
