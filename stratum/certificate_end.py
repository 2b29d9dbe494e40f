"""When a certificate ends: the `notAfter` of the first one in a PEM file (RFC 5280, section 4.1.2.5), which is the one
that is shown to miners. The standard library tells it of a peer's certificate only."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
SEQUENCE, VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
BEFORE_VALIDITY = 3  # serial number, signature algorithm, issuer


def certificate_end_s(pem: str) -> int:
    """Its last second, Unix time. Raises ValueError for what is no certificate."""
    try:
        body = pem[pem.index(BEGIN) : pem.index(END) + len(END)]
        der = ssl.PEM_cert_to_DER_cert(body)
        certificate = _value(der, 0, SEQUENCE)
        fields = _value(certificate, 0, SEQUENCE)
        place = _next(fields, 0) if fields[0] == VERSION else 0
        for _ in range(BEFORE_VALIDITY):
            place = _next(fields, place)
        validity = _value(fields, place, SEQUENCE)
        return _time_s(validity, _next(validity, 0))
    except IndexError as error:
        raise ValueError("a certificate that ends too early") from error


def _time_s(data: bytes, place: int) -> int:
    """Two digits of a year are 1950 to 2049."""
    text = _value(data, place, data[place]).decode("ascii")
    if data[place] == UTC_TIME:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif data[place] != GENERALIZED_TIME:
        raise ValueError("a certificate without a time")
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())


def _value(data: bytes, place: int, tag: int) -> bytes:
    """The content of the DER element at `place`, which has to be of this tag."""
    if data[place] != tag:
        raise ValueError("something else than a certificate")
    begin, end = _bounds(data, place)
    return data[begin:end]


def _next(data: bytes, place: int) -> int:
    return _bounds(data, place)[1]


def _bounds(data: bytes, place: int) -> tuple[int, int]:
    """Where an element's content begins and ends: its length is one byte, or 0x80 and how many bytes it has."""
    length, begin = data[place + 1], place + 2
    if length >= 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[place + 2 : begin], "big")
    if begin + length > len(data):
        raise ValueError("a certificate that ends too early")
    return begin, begin + length
