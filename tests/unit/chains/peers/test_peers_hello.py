from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.peers.hello import (
    Hello,
    HelloError,
    Role,
    check_hello,
    check_proof,
    decode_hello,
    node_key_of,
    sign_proof,
)

ALICE, BOB = b"\x01" * 32, b"\x02" * 32
HELLO = Hello(b"N" * 32, b"G" * 32, node_key_of(ALICE), b"n" * 32, ("have", "want"), features=5, port=4444)
OTHER = replace(HELLO, node_key=node_key_of(BOB), nonce=b"m" * 32)


def test_peers_hello_bytes_are_as_written_down() -> None:
    assert HELLO.encode() == (
        b"PPNH" + b"\x01\x00" + b"\x05" + bytes(7) + b"N" * 32 + b"G" * 32 + HELLO.node_key + b"n" * 32
        + b"\x5c\x11" + b"\x02" + b"\x04have" + b"\x04want"
    )  # fmt: skip
    assert decode_hello(HELLO.encode()) == HELLO
    assert decode_hello(HELLO.encode() + b"of a later version") == HELLO


@given(st.binary(max_size=400))
def test_peers_hello_garbage_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(HelloError):
        decode_hello(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_peers_hello_damaged_is_read_or_refused(at: int, value: int) -> None:
    data = bytearray(HELLO.encode())
    data[at % len(data)] = value
    try:
        decode_hello(bytes(data))
    except HelloError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (replace(OTHER, network=b"X" * 32), "another network 5858"),
        (replace(OTHER, genesis=b"X" * 32), "another genesis 5858"),
        (replace(OTHER, version=0), "version 0, at least 1"),
        (replace(OTHER, node_key=HELLO.node_key), "connected to itself"),
        (replace(OTHER, types=("have",)), "does not speak want"),
    ],
)
def test_peers_hello_refusals(other: Hello, reason: str) -> None:
    with pytest.raises(HelloError, match=reason):
        check_hello(HELLO, other, ("have", "want"))


def test_peers_hello_later_versions_and_more_types_are_welcome() -> None:
    check_hello(HELLO, replace(OTHER, version=9, features=2**63, types=("new", "want", "have")), ("have", "want"))


def test_peers_hello_proof_holds_for_these_hellos_this_role_and_this_key() -> None:
    alice, bob = HELLO.encode(), OTHER.encode()
    proof = sign_proof(ALICE, Role.DIALLED, alice, bob)
    check_proof(HELLO.node_key, proof, Role.DIALLED, alice, bob)
    for arguments in (
        (HELLO.node_key, proof, Role.LISTENED, alice, bob),
        (OTHER.node_key, proof, Role.DIALLED, alice, bob),
        (HELLO.node_key, proof, Role.DIALLED, bob, alice),
        (HELLO.node_key, proof, Role.DIALLED, alice, replace(OTHER, nonce=b"o" * 32).encode()),
        (HELLO.node_key, proof, Role.DIALLED, replace(HELLO, features=4).encode(), bob),
        (HELLO.node_key, proof[:63], Role.DIALLED, alice, bob),
        (b"\xff" * 32, proof, Role.DIALLED, alice, bob),
    ):
        with pytest.raises(HelloError):
            check_proof(*arguments)
    assert Role.DIALLED.other is Role.LISTENED and Role.LISTENED.other is Role.DIALLED


@pytest.mark.parametrize("names", [("a", "a"), ("",), ("x" * 33,), ("\x01",)])
def test_peers_hello_bad_names(names: tuple[str, ...]) -> None:
    with pytest.raises(HelloError):
        decode_hello(replace(HELLO, types=names).encode())
    with pytest.raises(HelloError):
        decode_hello(HELLO.encode()[:-1])
