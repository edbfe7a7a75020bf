"""TLS to Redis: the files that are read, what is wrong with them, and reading them again."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from sidecar.errors import ConfigurationError
from sidecar.net.redis_tls import RedisTls
from tests.support.certificates import Authority, Certificate


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Authority(tmp_path, "first.test").own


def problems(*, ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as problem:
        RedisTls(ca=ca, cert=cert, key=key)
    return problem.value.problems


def authorities(tls: RedisTls) -> list[str]:
    return [str(ca["subject"]) for ca in tls.context.get_ca_certs()]


def test_it_always_verifies(certificate: Certificate) -> None:
    """Certificate and name are checked whatever is given, and nothing older than TLS 1.2 is spoken."""
    for tls in (RedisTls(), RedisTls(ca=certificate.cert), RedisTls(server_name="other")):
        assert tls.context.verify_mode == ssl.CERT_REQUIRED
        assert tls.context.check_hostname
        assert tls.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_authorities(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a file only its authorities count; without one those of the system do."""
    assert len(authorities(RedisTls(ca=certificate.cert))) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.cert))  # where OpenSSL looks for the system's
    assert [name for name in authorities(RedisTls()) if "first.test" in name]


def test_broken_files(certificate: Certificate, tmp_path: Path) -> None:
    """Everything that is wrong is said at once, with the file."""
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    assert problems(ca=nothing, cert=nothing, key=certificate.key) == [
        f"redis_tls_ca: {nothing}: holds no certificate in PEM format",
        f"redis_tls_cert: {nothing} and {certificate.key}: are no certificate and key in PEM format",
    ]
    missing = tmp_path / "missing.pem"
    assert problems(ca=missing) == [f"redis_tls_ca: {missing}: No such file or directory"]
    assert problems(ca=tmp_path)[0].startswith(f"redis_tls_ca: {tmp_path}: ")


def test_a_key_of_another_certificate(certificate: Certificate, tmp_path: Path) -> None:
    """A certificate and a key that do not belong together are told."""
    other = Authority(tmp_path, "other.test").own
    (line,) = problems(cert=certificate.cert, key=other.key)
    assert line.endswith("the key is not that of the certificate")


def test_a_certificate_without_its_key(certificate: Certificate) -> None:
    """One without the other is of no use."""
    assert "go together" in problems(cert=certificate.cert)[0]
    assert "go together" in problems(key=certificate.key)[0]


def test_an_encrypted_key(certificate: Certificate) -> None:
    """Nobody is asked for a password on the terminal."""
    for encrypted in certificate.locked_keys():
        (line,) = problems(cert=certificate.cert, key=encrypted)
        assert line.endswith("the key is encrypted; a sidecar cannot ask for its password")


def test_reload(certificate: Certificate, tmp_path: Path) -> None:
    """New files are used from then on; a broken one changes nothing."""
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate.cert.read_bytes())
    tls = RedisTls(ca=file)
    assert "first.test" in authorities(tls)[0]
    file.write_bytes(Authority(tmp_path, "second.test").ca.read_bytes())
    tls.reload()
    assert "second.test" in authorities(tls)[0]
    assert len(authorities(tls)) == 1
    file.write_text("broken")
    with pytest.raises(ConfigurationError):
        tls.reload()
    assert "second.test" in authorities(tls)[0]
