"""A reference node's settings come from the pool's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from pool.config import Config, load
from pool.devnet_node import DevnetError, node_settings

ROOT = Path(__file__).parents[3]


def config_with(**overrides: str) -> Config:
    return load(ROOT / "deploy/devnet.yaml", overrides)


@pytest.mark.parametrize(
    ("name", "kind", "port", "chain_id", "dialect", "context_name"),
    [
        ("regbtc", "bitcoin", 19501, 1, "namecoin", ""),
        ("regnmc", "auxpow", 19502, 1, "namecoin", ""),
        ("regdoge", "auxpow", 19503, 98, "dogecoin", ""),
        ("alpha", "mm2", 19504, 1, "namecoin", "alpha"),
        ("beta", "mm2", 19505, 1, "namecoin", "beta"),
    ],
)
def test_devnet_node_is_what_its_chain_says(
    name: str, kind: str, port: int, chain_id: int, dialect: str, context_name: str
) -> None:
    settings = node_settings(config_with(**{"pool.data_dir": "/tmp/devnet"}), name, 6)
    assert (settings.kind, settings.name, settings.seed, settings.port) == (kind, name, name, port)
    assert (settings.chain_id, settings.dialect, settings.context_name) == (chain_id, dialect, context_name)
    assert (settings.user, settings.password) == ("devnet", "devnet")
    assert settings.data_dir == Path("/tmp/devnet/nodes") / name
    assert (settings.block_interval_s, settings.maturity) == (6, 10)


def test_devnet_node_takes_the_chain_id_of_its_dialect_when_none_is_given() -> None:
    given = {"chains.regnmc.chain_id": "null", "chains.regdoge.chain_id": "null"}
    config = config_with(**given)
    assert [node_settings(config, name, None).chain_id for name in ("regnmc", "regdoge")] == [1, 98]


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("gamma", {}, "no chain 'gamma' in the configuration, expected one of regbtc, regnmc, regdoge, alpha, beta"),
        ("regbtc", {"chains.regbtc.family": "bitcoin"}, "chains.regbtc.family: expected devnet"),
        ("regbtc", {"chains.regbtc.nodes.0.url": "http://10.0.0.1:1"}, "expected http://127.0.0.1:PORT"),
        ("regbtc", {"chains.regbtc.nodes.0.url": "http://127.0.0.1"}, "expected http://127.0.0.1:PORT"),
        ("regbtc", {"chains.regbtc.nodes": "[{url: 'http://127.0.0.1:1'}]"}, "expected user and password"),
        ("regnmc", {"chains.regnmc.dialect": "{get_method: x}"}, "expected namecoin or dogecoin"),
    ],
)
def test_devnet_node_refuses_a_chain_that_is_none_of_its_own(
    name: str, overrides: dict[str, str], expected: str
) -> None:
    with pytest.raises(DevnetError, match=expected):
        node_settings(config_with(**overrides), name, 6)
