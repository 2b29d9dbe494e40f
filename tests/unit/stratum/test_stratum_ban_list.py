"""The operator's bans: which addresses fall under which network, and what the list refuses."""

from __future__ import annotations

import pytest

from stratum.addresses import AddressBook
from stratum.ban_list import MAX_BANS, Ban, BanList, BanRefusedError, network_of
from stratum.limits import Limits


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.7/24 ", "203.0.113.0/24"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
        ("2001:db8:1:2:3::/80", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
    ],
)
def test_ban_list_reads_networks(text: str, network: str) -> None:
    assert str(network_of(text)) == network


@pytest.mark.parametrize("text", ["", "somewhere", "0.0.0.0/0", "10.0.0.0/7", "::/0", "2001::/15", "1.2.3.4/99"])
def test_ban_list_refuses_what_is_no_network_or_too_much(text: str) -> None:
    with pytest.raises(BanRefusedError, match=r"expected"):
        network_of(text)


def test_ban_list_covers_addresses_until_the_time() -> None:
    bans = BanList()
    for text, until in (("203.0.113.0/24", 20.0), ("2001:db8::1", 30.0), ("198.51.100.7", 10.0)):
        bans.add(Ban(network_of(text), until, text))
    assert bans.covering("203.0.113.255", 5.0) is not None and bans.covering("203.0.114.1", 5.0) is None
    assert bans.covering("::ffff:203.0.113.1", 5.0) is not None, "as IPv6 sockets tell IPv4 addresses"
    assert bans.covering("2001:db8::ffff%eth0", 29.0) is not None and bans.covering("2001:db8:0:1::1", 5.0) is None
    assert bans.covering("198.51.100.7", 9.9) is not None and bans.covering("198.51.100.7", 10.0) is None
    assert bans.covering("no address", 5.0) is None
    bans.sweep(10.0)
    assert [ban.reason for ban in bans] == ["203.0.113.0/24", "2001:db8::1"]
    bans.add(Ban(network_of("203.0.113.0/24"), 99.0, "again"))
    assert len(bans) == 2 and next(iter(bans)).until == 99.0
    assert bans.remove(network_of("203.0.113.0/24")) and not bans.remove(network_of("203.0.113.0/24"))
    assert bans.covering("203.0.113.1", 5.0) is None
    bans.sweep(30.0)
    assert not len(bans) and bans.covering("2001:db8::1", 1.0) is None


def test_ban_list_has_an_end() -> None:
    bans = BanList()
    for number in range(MAX_BANS):
        bans.add(Ban(network_of(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"), 1.0, ""))
    with pytest.raises(BanRefusedError, match="10000 bans already"):
        bans.add(Ban(network_of("192.0.2.1"), 1.0, ""))
    bans.add(Ban(network_of("10.0.0.0"), 2.0, "one that is there may change"))
    assert len(bans) == MAX_BANS


def test_ban_list_turns_away_whoever_limits_exempt() -> None:
    book = AddressBook(Limits(exempt_loopback=True), 0.0)
    assert not isinstance(book.admit("127.0.0.1", 0.0), str)
    book.bans.add(Ban(network_of("127.0.0.1"), 60.0, "test"))
    assert book.admit("127.0.0.1", 1.0) == "banned"
    book.sweep(60.0)
    assert not len(book.bans) and not isinstance(book.admit("127.0.0.1", 60.0), str)


def test_ban_list_names_and_pardons_those_that_shares_have_banned() -> None:
    limits = Limits(ban_shares=1)
    book = AddressBook(limits, 0.0)
    record = book.admit("192.0.2.1", 0.0)
    assert not isinstance(record, str) and record.invalid(1.0, 5.0)
    assert list(book.banned(6.0)) == [("192.0.2.1", 5.0 + limits.ban_s)] and book.admit("192.0.2.1", 6.0) == "banned"
    assert book.pardon("192.0.2.1", 6.0) and not book.pardon("192.0.2.1", 6.0) and not book.pardon("192.0.2.9", 6.0)
    assert not list(book.banned(6.0)) and not isinstance(book.admit("192.0.2.1", 7.0), str)
