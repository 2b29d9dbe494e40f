"""A port is shared within a pool only."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from stratum.port_claim import PortClaim, PortTakenError


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with _listener() as made:
        yield made


def test_port_claim_a_free_port_is_anybodys() -> None:
    with _listener() as listener:
        port = listener.getsockname()[1]
    claim = PortClaim("a pool")
    claim.take("127.0.0.1", port)
    claim.release()


def test_port_claim_kin_may_listen_beside(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    first, second = PortClaim("a pool"), PortClaim("a pool")
    with pytest.raises(PortTakenError):
        second.take("127.0.0.1", port)
    listener.close()
    first.take("127.0.0.1", port)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        again.bind(("127.0.0.1", port))
        again.listen()
        second.take("127.0.0.1", port)
        with pytest.raises(PortTakenError):
            PortClaim("another pool").take("127.0.0.1", port)
        first.release()
        PortClaim("a pool").take("127.0.0.1", port)  # the second still holds it
        second.release()


def test_port_claim_an_address_that_is_not_ours_is_told_as_such() -> None:
    with pytest.raises(OSError, match="assign") as refused:
        PortClaim("a pool").take("192.0.2.1", 3333)
    assert not isinstance(refused.value, PortTakenError)
