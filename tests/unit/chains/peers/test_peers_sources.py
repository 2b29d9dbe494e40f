from __future__ import annotations

import random

import pytest

from chains.peers.sources import (
    LONGEST_PAUSE_MS,
    OWN_ADDRESS_PAUSE_MS,
    AddressError,
    ConfiguredPeers,
    Dialler,
    split_address,
)


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:9733", ("::1", 9733)), ("node.example:1", ("node.example", 1))],
)
def test_peers_sources_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:0", "host:65536", "host:-1", "::1:80", "host:x"])
def test_peers_sources_addresses_that_are_none(address: str) -> None:
    with pytest.raises(AddressError, match="expected HOST:PORT"):
        ConfiguredPeers([address])


def dialler(*lists: list[str], outbound: int = 16) -> Dialler:
    return Dialler([ConfiguredPeers(one) for one in lists], random.Random(1), outbound)


def test_peers_sources_the_first_source_comes_first_and_nothing_twice() -> None:
    found = dialler(["a:1", "b:1", "a:1"], ["c:1", "b:1"])
    assert found.due(0, (), 0) == ["a:1", "b:1", "c:1"]
    assert found.due(0, {"a:1"}, 1) == ["b:1", "c:1"]


def test_peers_sources_outbound_connections_are_limited() -> None:
    found = dialler(["a:1", "b:1", "c:1"], outbound=2)
    assert found.due(0, (), 0) == ["a:1", "b:1"]
    assert found.due(0, {"a:1"}, 1) == ["b:1"]
    assert found.due(0, {"a:1", "b:1"}, 2) == []


def test_peers_sources_pauses_double_up_to_a_minute_and_start_anew_after_a_connection() -> None:
    found = dialler(["a:1"])
    pauses = [found.failed("a:1", 0) for _ in range(10)]
    for number, pause in enumerate(pauses):
        longest = min(LONGEST_PAUSE_MS, 1000 * 2**number)
        assert longest * 3 // 4 <= pause <= longest
    assert found.due(pauses[-1] - 1, (), 0) == [] and found.due(pauses[-1], (), 0) == ["a:1"]
    found.ended("a:1", 0)
    assert found.due(1000, (), 0) == ["a:1"]


def test_peers_sources_own_address_is_left_alone() -> None:
    found = dialler(["a:1"])
    found.is_own("a:1", 0)
    assert found.due(OWN_ADDRESS_PAUSE_MS - 1, (), 0) == [] and found.due(OWN_ADDRESS_PAUSE_MS, (), 0) == ["a:1"]
