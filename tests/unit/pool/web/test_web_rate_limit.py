from __future__ import annotations

import pytest

from pool.web.rate_limit import RateLimit, client_of


def test_rate_limit_gives_a_burst_and_then_as_time_passes() -> None:
    limit = RateLimit(3, 0.5)
    assert [limit.take("192.0.2.1", 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert not limit.take("192.0.2.1", 11.0)
    assert limit.take("192.0.2.1", 12.0)
    assert not limit.take("192.0.2.1", 12.0)
    assert [limit.take("192.0.2.1", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_rate_limit_is_per_client() -> None:
    limit = RateLimit(1, 1.0)
    assert limit.take("192.0.2.1", 0.0)
    assert limit.take("192.0.2.2", 0.0)
    assert not limit.take("192.0.2.1", 0.0)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_rate_limit_counts_a_household_as_one_client(address: str | None, client: str) -> None:
    assert client_of(address) == client


def test_rate_limit_remembers_so_many_clients() -> None:
    limit = RateLimit(1, 0.001, clients=2)
    assert [limit.take(f"192.0.2.{number}", 0.0) for number in (1, 2, 3)] == [True, True, True]
    assert not limit.take("192.0.2.3", 0.0)
    assert not limit.take("192.0.2.2", 0.0)
    assert limit.take("192.0.2.1", 0.0)  # forgotten


def test_rate_limit_says_how_long_to_wait() -> None:
    limit = RateLimit(2, 0.5)
    assert limit.wait_s("192.0.2.1") == 0
    assert limit.take("192.0.2.1", 0.0) and limit.take("192.0.2.1", 0.0)
    assert limit.wait_s("192.0.2.1") == 2
    assert not limit.take("192.0.2.1", 1.0)
    assert limit.wait_s("192.0.2.1") == 1
