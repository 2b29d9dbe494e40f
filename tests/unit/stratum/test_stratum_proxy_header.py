"""PROXY headers as proxies write them, cut anywhere, broken anywhere."""

from __future__ import annotations

import ipaddress
import random
import struct

import pytest

from stratum.proxy_header import (
    MAX_BODY_BYTES,
    MAX_LINE_BYTES,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    parse_proxy_header,
)


def v2(client: str = "203.0.113.7", *, command: int = 0x21, extra: bytes = b"", family: int | None = None) -> bytes:
    address = ipaddress.ip_address(client)
    body = address.packed + bytes(len(address.packed)) + struct.pack(">HH", 50000, 3333) + extra
    kind = (1 if address.version == 4 else 2) << 4 | 1 if family is None else family
    return SIGNATURE + bytes([command, kind]) + len(body).to_bytes(2, "big") + body


WHOLE = [
    (v2(), "203.0.113.7"),
    (v2("2001:db8::7"), "2001:db8::7"),
    (v2(extra=b"\x04\x00\x01\x00"), "203.0.113.7"),
    (v2(command=0x20), None),
    (v2(family=0x00), None),
    (v2(family=0x31), None),
    (SIGNATURE + b"\x20\x00\x00\x00", None),
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 3333\r\n", "203.0.113.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 3333\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
]


@pytest.mark.parametrize(("header", "client"), WHOLE)
def test_stratum_proxy_header_comes_in_any_pieces(header: bytes, client: str | None) -> None:
    for length in range(len(header)):
        assert parse_proxy_header(header[:length]) is None
    assert parse_proxy_header(header) == ProxyHeader(client, len(header))
    assert parse_proxy_header(header + b'{"id":1}\n') == ProxyHeader(client, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":1,"method":"mining.subscribe"}\n',
        b"GET / HTTP/1.1\r\n",
        SIGNATURE[:-1] + b"X",
        v2(command=0x11),
        v2(command=0x22),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11" + (MAX_BODY_BYTES + 1).to_bytes(2, "big"),
        b"PROXY " + b"x" * MAX_LINE_BYTES,
        b"PROXY TCP4 203.0.113.7 192.0.2.1 50000\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 65536\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 +333\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 3333\r\n",
        b"PROXY TCP4 203.0.113.999 192.0.2.1 50000 3333\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 50000 3333\r\n",
        b"PROXY \xff\xfe\r\n",
        b"PROXY \r\n",
    ],
)
def test_stratum_proxy_header_that_is_broken_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(data)


def test_stratum_proxy_header_survives_whatever_comes() -> None:
    """Changed and random bytes give a header within what came, nothing yet, or the one error."""
    chance = random.Random(4)
    for _ in range(4000):
        data = bytearray(chance.choice(WHOLE)[0] + chance.randbytes(chance.randrange(4)))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = bytes(data[: chance.randrange(len(data) + 1)])
        try:
            found = parse_proxy_header(cut)
        except ProxyHeaderError:
            continue
        if found is None:
            assert len(cut) < 16 + MAX_BODY_BYTES
        else:
            assert 0 < found.length <= len(cut)
            assert found.client is None or ipaddress.ip_address(found.client)
