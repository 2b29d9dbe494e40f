"""The header a proxy puts before a connection to say who is behind it: PROXY protocol, versions 1 and 2. Pure.

As HAProxy's proxy-protocol.txt has it: version 2 is a 12-byte signature, version and command, family, a big-endian
length and so many bytes; version 1 is one line of at most 107 bytes that ends with CRLF. Whoever reads this must trust
the peer already: a header is a claim.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED_BYTES = 16  # signature, version and command, family, length
MAX_BODY_BYTES = 2048  # addresses take 12, 36 or 216; the rest are extensions, a TLS certificate the longest
MAX_LINE_BYTES = 107
_LINE_START = b"PROXY "
_LOCAL, _PROXY = 0x20, 0x21
_INET, _INET6 = 1, 2  # the family's upper four bits; the lower ones (stream, datagram) do not concern us
_ADDRESS_BYTES = {_INET: 4, _INET6: 16}
_PORTS_BYTES = 4


class ProxyHeaderError(ValueError):
    """No PROXY header, or a broken one."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """`client` is the address behind the proxy, None where it speaks for itself (a health check) or does not know;
    `length` is how many bytes the header has."""

    client: str | None
    length: int


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of what a connection sent, None while it is not whole. Raises ProxyHeaderError."""
    if data.startswith(_LINE_START):
        return _line(data)
    if data.startswith(SIGNATURE):
        return _binary(data)
    if SIGNATURE.startswith(data) or _LINE_START.startswith(data):
        return None
    raise ProxyHeaderError("no PROXY header")


def _binary(data: bytes) -> ProxyHeader | None:
    if len(data) < FIXED_BYTES:
        return None
    command, family = data[12], data[13] >> 4
    body_length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("another version or command than PROXY v2 has")
    if body_length > MAX_BODY_BYTES:
        raise ProxyHeaderError(f"a header of more than {MAX_BODY_BYTES} bytes")
    length = FIXED_BYTES + body_length
    if len(data) < length:
        return None
    size = _ADDRESS_BYTES.get(family)
    if command == _LOCAL or size is None:  # unspecified, or a Unix socket: nobody's address
        return ProxyHeader(None, length)
    if body_length < 2 * size + _PORTS_BYTES:
        raise ProxyHeaderError("a header that ends within its addresses")
    return ProxyHeader(str(ipaddress.ip_address(data[FIXED_BYTES : FIXED_BYTES + size])), length)


def _line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_LINE_BYTES)
    if end < 0:
        if len(data) >= MAX_LINE_BYTES:
            raise ProxyHeaderError(f"a line of more than {MAX_LINE_BYTES} bytes")
        return None
    words = data[:end].split(b" ")
    length = end + 2
    if words[1] == b"UNKNOWN":
        return ProxyHeader(None, length)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderError("a line that is not PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT")
    try:
        addresses = [ipaddress.ip_address(word.decode("ascii")) for word in words[2:4]]
    except ValueError:
        raise ProxyHeaderError("a line without two addresses") from None
    if any(address.version != int(words[1][3:]) for address in addresses):
        raise ProxyHeaderError("a line with addresses of another family than it says")
    if not all(word.isdigit() and len(word) <= 5 and int(word) <= 0xFFFF for word in words[4:]):
        raise ProxyHeaderError("a line without two ports")
    return ProxyHeader(str(addresses[0]), length)
