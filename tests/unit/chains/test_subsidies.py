"""What blocks create by height, against rewards that everybody can look up."""

from __future__ import annotations

import pytest

from chains.families import FAMILIES
from chains.subsidies import COIN, SUBSIDIES


@pytest.mark.parametrize(
    ("family", "network", "height", "amount"),
    [
        ("bitcoin", "main", 0, 50 * COIN),
        ("bitcoin", "main", 209_999, 50 * COIN),
        ("bitcoin", "main", 210_000, 25 * COIN),
        ("bitcoin", "main", 840_000, 312_500_000),
        ("bitcoin", "main", 33 * 210_000, 0),
        ("bitcoin", "main", 64 * 210_000, 0),
        ("bitcoin", "regtest", 150, 25 * COIN),
        ("litecoin", "main", 2_520_000, 625_000_000),
        ("namecoin", "main", 700_000, 625_000_000),
        ("dogecoin", "main", 500_000, 15_625 * COIN),
        ("dogecoin", "main", 599_999, 15_625 * COIN),
        ("dogecoin", "main", 600_000, 10_000 * COIN),
        ("dogecoin", "main", 50_000_000, 10_000 * COIN),
        ("devnet", "regtest", 1_000_000, 50 * COIN),
    ],
)
def test_subsidies_are_those_of_the_chain(family: str, network: str, height: int, amount: int) -> None:
    assert SUBSIDIES[family, network].at(height) == amount


def test_subsidies_belong_to_networks_that_exist() -> None:
    assert all(network in FAMILIES[family] for family, network in SUBSIDIES)
