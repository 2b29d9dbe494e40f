"""The end of a certificate, held against OpenSSL's own reading of it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from stratum.certificate_end import certificate_end_s
from stratum.tls import Certificate

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tls"


@pytest.mark.parametrize(
    ("name", "end"), [("certificate.pem", "Oct 28 20:56:29 2126 GMT"), ("ending.pem", "Nov 22 23:04:00 2026 GMT")]
)
def test_certificate_end_is_the_one_that_openssl_tells(name: str, end: str) -> None:
    """As `openssl x509 -enddate` printed it: a GeneralizedTime from 2050 on, a UTCTime before."""
    assert certificate_end_s((FIXTURES / name).read_text()) == ssl.cert_time_to_seconds(end)


def test_certificate_end_is_the_first_ones_of_a_chain() -> None:
    own, signer = ((FIXTURES / name).read_text() for name in ("ending.pem", "certificate.pem"))
    assert certificate_end_s(f"a comment\n{own}{signer}") == certificate_end_s(own)


def test_certificate_end_of_what_is_none_is_an_error() -> None:
    whole = (FIXTURES / "certificate.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(whole)
    for cut in range(0, len(der) - 100, 7):
        with pytest.raises(ValueError):
            certificate_end_s(ssl.DER_cert_to_PEM_cert(der[:cut]))
    for text in ("", "-----BEGIN CERTIFICATE-----", whole.replace("MII", "AII"), (FIXTURES / "key.pem").read_text()):
        with pytest.raises(ValueError):
            certificate_end_s(text)


def test_certificate_end_changes_with_the_renewed_file(tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text((FIXTURES / "ending.pem").read_text())
    certificate = Certificate(file, FIXTURES / "key.pem")
    before = certificate.end_s
    file.write_text((FIXTURES / "certificate.pem").read_text())
    assert certificate.end_s == before, "not before it is told"
    certificate.renew()
    assert before is not None and certificate.end_s is not None and certificate.end_s > before
