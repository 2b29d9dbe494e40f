"""Who knocks on the port and speaks something else: told apart for the metrics, and left without a word.

bfgminer's getwork probe is an HTTP request (bfgminer #407); a miner set to TLS sends a handshake record.
"""

from __future__ import annotations

_HTTP = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI * ")
_TLS_HANDSHAKE = 0x16


def is_tls(first_bytes: bytes) -> bool:
    """Whether a connection's first bytes (at least one) begin a TLS handshake."""
    return first_bytes[0] == _TLS_HANDSHAKE


def foreign_protocol(line: bytes) -> str:
    """What a first line that is no Stratum request is, as a label."""
    return "http" if line.startswith(_HTTP) else "not_stratum"
