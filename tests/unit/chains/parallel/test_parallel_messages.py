"""Messages of a consensus-proof network: there and back, within their limits, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.parallel import messages as wire
from chains.parallel.body import root_of
from chains.parallel.messages import (
    MESSAGES,
    ProofMessage,
    decode_ids,
    decode_keyed,
    decode_path,
    decode_proof,
    encode_ids,
    encode_path,
    proof_message,
)
from chains.primitives.serialize import MalformedError

HASH = st.binary(min_size=32, max_size=32)


@given(st.binary(max_size=300), st.lists(st.tuples(HASH, st.binary(max_size=100)), max_size=5))
def test_parallel_proof_message_round_trips(proof: bytes, bodies: list[tuple[bytes, bytes]]) -> None:
    message = ProofMessage(proof, tuple(bodies))
    assert decode_proof(message.encode()) == message


@given(st.lists(HASH, max_size=64), st.lists(st.binary(max_size=400), max_size=20))
def test_parallel_ids_and_paths_round_trip(ids: list[bytes], wires: list[bytes]) -> None:
    assert decode_ids(encode_ids(ids)) == tuple(ids)
    assert decode_path(encode_path(wires)) == (False, tuple(wires))


def test_parallel_path_says_that_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATH_BYTES", 25)
    assert decode_path(encode_path([b"1" * 10] * 5)) == (True, (b"1" * 10,) * 2)


def test_parallel_proof_takes_along_what_is_small_enough() -> None:
    small, large = (b"a",), (b"b" * wire.INLINE_BYTES,)
    bodies = {root_of(body): body for body in (small, large)}
    message = proof_message(b"proof", [root_of(large), root_of(small), bytes(32)], bodies)
    assert [root for root, _ in message.bodies] == [root_of(small)]


@given(st.binary(max_size=200))
def test_parallel_bytes_are_a_message_or_malformed(payload: bytes) -> None:
    for decode in (decode_proof, decode_ids, decode_path, decode_keyed):
        try:
            decode(payload)
        except MalformedError:
            continue


def test_parallel_too_many_ids_are_malformed() -> None:
    with pytest.raises(MalformedError, match="limit is 64"):
        decode_ids(encode_ids([bytes(32)] * 65))
    with pytest.raises(MalformedError):
        decode_keyed(bytes(31))
    assert decode_keyed(bytes(32) + b"rest") == (bytes(32), b"rest")
    assert len({message.name for message in MESSAGES}) == len(MESSAGES)
    assert [message.name for message in MESSAGES if not message.required] == ["transfer"]
