"""From configured schemes to realms, boards, announcements, and the figures that Prometheus gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from config_file import GOOD
from prometheus_client import CollectorRegistry, generate_latest

from pool.config.configuration import Config, load
from pool.metrics.schemes import SchemeCollector
from pool.scheme_setup import announcement, realm_of, scheme_board, schemes_of, share_buying


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Alpha is bought at the first port, everything is solo at the second, the third is as the first."""
    path = tmp_path / "pool.yaml"
    bought = "context_name: alpha\n    scheme: pps\n    pps: {minimum_reserve: 700, fee_ppm: 5}"
    ports = "    - {bind: '127.0.0.1:3334', scheme: solo}\n    - {bind: '127.0.0.1:3335'}\nhttp:\n"
    path.write_text(GOOD.replace("context_name: alpha", bought).replace("http:\n", ports))
    return load(path, {})


def test_scheme_setup_gives_ports_that_pay_alike_one_realm(config: Config) -> None:
    assert [realm_of(config, port) for port in config.stratum.ports] == [
        "alpha:pps", "alpha:solo,regbtc:solo,regnmc:solo", "alpha:pps",
    ]  # fmt: skip


def test_scheme_setup_has_an_empty_realm_where_all_is_pplns(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD)
    plain = load(path, {})
    assert [realm_of(plain, port) for port in plain.stratum.ports] == [""]
    assert scheme_board(plain).bought == {}


def test_scheme_setup_buys_only_after_the_reserve_is_known(config: Config) -> None:
    board = scheme_board(config)
    assert set(board.bought) == {"alpha"}
    chain = board.bought["alpha"]
    assert (chain.guard.minimum, chain.guard.resume, chain.guard.suspended, chain.fee_ppm) == (700, 1400, True, 5)
    assert chain.subsidy.at(1) == 50 * 10**8
    assert board.realms_buying("alpha") == {"alpha:pps"}


def test_scheme_setup_credits_on_every_chain_and_watches_the_reserve_where_shares_are_bought(config: Config) -> None:
    """What was bought before a chain's scheme changed is owed all the same."""
    board = scheme_board(config)
    with ThreadPoolExecutor(1) as executor:
        buying = share_buying(config, board, object(), executor, lambda chain, change: None, lambda: 0)  # type: ignore[arg-type]
    assert {name: chain.guard for name, chain in buying._chains.items()} == {
        "regbtc": None, "regnmc": None, "alpha": board.bought["alpha"].guard,
    }  # fmt: skip


def test_scheme_setup_tells_which_schemes_a_chain_may_have(config: Config) -> None:
    assert {name: schemes_of(config, name) for name in config.chains} == {
        "regbtc": ("pplns", "solo"), "regnmc": ("pplns", "solo"), "alpha": ("pps", "solo", "pplns"),
    }  # fmt: skip


def test_scheme_setup_announces_both_ways_by_the_chains_name() -> None:
    assert "alpha" in announcement("alpha", "low") and "PPLNS" in announcement("alpha", "low")
    assert announcement("alpha", "restored") == "The pool buys alpha shares again"


def test_scheme_metrics_tell_reserve_and_buying(config: Config) -> None:
    board, registry = scheme_board(config), CollectorRegistry()
    registry.register(SchemeCollector(board.bought))
    assert 'parapool_pps_buying{chain="alpha"} 0.0' in generate_latest(registry).decode()
    board.bought["alpha"].guard.update(2500)
    text = generate_latest(registry).decode()
    assert 'parapool_pps_buying{chain="alpha"} 1.0' in text
    assert 'parapool_pps_reserve{chain="alpha"} 2500.0' in text
