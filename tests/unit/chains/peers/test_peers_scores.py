from __future__ import annotations

import pytest

from chains.peers.scores import MAX_NAMES, BanPolicy, Scores, address_name, key_name

KEY = b"\x01" * 32


def test_peers_scores_ban_at_one_hundred_points_key_and_address() -> None:
    scores = Scores(BanPolicy(ban_ms=1000))
    names = scores.names(KEY, "192.0.2.7")
    assert names == [key_name(KEY), "ip:192.0.2.7"]
    assert not scores.add(names, 99, 0)
    assert not scores.is_banned(names, 0)
    assert scores.add(names, 1, 0)
    assert scores.is_banned([key_name(KEY)], 999) and scores.is_banned(["ip:192.0.2.7"], 999)
    assert not scores.is_banned(names, 1000)
    assert scores.sweep(1000) == ["key:" + KEY.hex(), "ip:192.0.2.7"]
    assert not scores.add(names, 50, 1000)  # a ban that is over leaves no points behind


def test_peers_scores_points_fade() -> None:
    scores = Scores()
    scores.add(["x"], 60, 0)
    assert scores.points("x", 30 * 60_000) == 30
    assert not scores.add(["x"], 60, 30 * 60_000)
    assert scores.points("x", 30 * 60_000) == 90
    scores.sweep(121 * 60_000)
    assert scores.points("x", 0) == 0


def test_peers_scores_exempt_loopback_is_banned_by_key_only() -> None:
    scores = Scores(BanPolicy(exempt_loopback=True))
    assert scores.names(KEY, "127.0.0.1") == scores.names(KEY, "::1") == [key_name(KEY)]
    assert scores.names(None, "127.0.0.1") == []
    assert scores.names(KEY, "192.0.2.7") == [key_name(KEY), "ip:192.0.2.7"]
    assert Scores().names(None, "127.0.0.1") == ["ip:127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("2001:db8::1", "ip:2001:db8::/64"),
        ("2001:db8::ffff:1", "ip:2001:db8::/64"),
        ("::ffff:192.0.2.1", "ip:192.0.2.1"),
        ("node.example", "host:node.example"),
    ],
)
def test_peers_scores_name_of_an_address(host: str, name: str) -> None:
    assert address_name(host) == name


def test_peers_scores_lifted_ban_is_over() -> None:
    scores = Scores()
    scores.ban("x", 5000)
    assert list(scores.bans()) == [("x", 5000)]
    assert scores.unban("x") and not scores.unban("x")
    assert not scores.is_banned(["x"], 0)


def test_peers_scores_strangers_cannot_grow_the_tables() -> None:
    scores = Scores()
    for number in range(MAX_NAMES + 5):
        scores.add([f"n{number}"], 1, number)
        scores.ban(f"b{number}", number + 1)
    assert len(scores._points) == MAX_NAMES
    assert len(list(scores.bans())) == MAX_NAMES
    assert scores.is_banned([f"b{MAX_NAMES + 4}"], 0) and not scores.is_banned(["b0"], 0)
