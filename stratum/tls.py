"""TLS between a miner's socket and its connection, with the standard library's OpenSSL as a value: bytes in, bytes out.

To the socket a TlsConnection is the protocol, to the Connection it is the transport. What is encrypted goes out at
once, so what waits for a slow reader is all in the socket's buffer, where the limits look.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Protocol as TwistedProtocol

from stratum.certificate_end import certificate_end_s

READ_BYTES = 12_288  # as transport.READ_BYTES: a read together with an unfinished line stays below unparsed_bytes


class Certificate:
    """A port's certificate chain and key, PEM files. TLS 1.2 and 1.3; nobody renegotiates. `end_s` is the last second
    of its first certificate, Unix time; None when that cannot be read, which is OpenSSL's affair."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Raises OSError when the files cannot be used (ssl.SSLError is one)."""
        self.certificate_file = certificate_file
        self._key_file = key_file
        self.renew()

    def renew(self) -> None:
        """Reads the files again, for connections from now on. Raises OSError, and then the former ones stay."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        # Without a password OpenSSL would ask the terminal for one; an encrypted key is refused instead.
        context.load_cert_chain(self.certificate_file, self._key_file, password=lambda: "")
        self.end_s = _end_s(self.certificate_file)
        self.context = context


def _end_s(certificate_file: Path) -> int | None:
    try:
        return certificate_end_s(certificate_file.read_text("ascii", "replace"))
    except ValueError:
        return None


class TlsConnection(TwistedProtocol):
    """One miner's TLS. Its deadlines are the session's: a handshake without end is a first line that never comes."""

    transport: Any

    def __init__(self, certificate: Certificate, inner: Any) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certificate.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self._paused = False
        self._closing = False

    # The socket's protocol.

    def connectionMade(self) -> None:
        self._inner.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        self._incoming.write(data)
        self._read()

    def connectionLost(self, reason: Any = None) -> None:
        self._closing = True
        self._inner.connectionLost(reason)

    def _read(self) -> None:
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while not self._paused and not self._closing:
                data = self._tls.read(READ_BYTES)
                if not data:  # the peer has said goodbye
                    self.loseConnection()
                    break
                self._inner.dataReceived(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.loseConnection()
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self.abortConnection()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    # The connection's transport.

    def write(self, data: bytes) -> None:
        """Nothing can be said before the handshake is over, so nothing is."""
        if not self._shaken or self._closing:
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    def loseConnection(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._shaken:
            with suppress(ssl.SSLError):  # it says goodbye, and does not wait for the peer's
                self._tls.unwrap()
            self._flush()
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        self._closing = True
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        self.transport.resumeProducing()
        self._read()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.transport.setTcpNoDelay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.transport.setTcpKeepAlive(enabled)

    @property
    def unsent_bytes(self) -> int:
        unsent: int = self.transport.unsent_bytes
        return unsent

    @property
    def drained_bytes(self) -> int:
        drained: int = self.transport.drained_bytes
        return drained

    @property
    def round_trip_s(self) -> float | None:
        measured: float | None = self.transport.round_trip_s
        return measured
