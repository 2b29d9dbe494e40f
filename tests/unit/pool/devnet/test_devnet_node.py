"""A reference node's settings come from the pool's own configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pool.config.configuration import Config, load
from pool.devnet.node import DevnetError, node_settings

ROOT = Path(__file__).parents[4]
FOLDER = Path()


@pytest.fixture(autouse=True)
def _reference_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.FOLDER", tmp_path)


def reference_text() -> str:
    """deploy/devnet.yaml without the chains whose nodes are no reference nodes."""
    values = YAML(typ="safe").load(ROOT / "deploy/devnet.yaml")
    values["chains"] = {n: c for n, c in values["chains"].items() if c["kind"] in ("bitcoin", "auxpow", "mm2")}
    return json.dumps(values)


def config_with(**overrides: str) -> Config:
    (FOLDER / "devnet.yaml").write_text(reference_text())
    return load(FOLDER / "devnet.yaml", overrides)


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
    settings = node_settings(config_with(**{"pool.data_dir": "devnet-data"}), name, 6)
    assert (settings.kind, settings.name, settings.seed, settings.port) == (kind, name, name, port)
    assert (settings.chain_id, settings.dialect, settings.context_name) == (chain_id, dialect, context_name)
    assert (settings.user, settings.password) == ("devnet", "devnet")
    assert settings.data_dir == Path("devnet-data/nodes") / name
    assert (settings.block_interval_s, settings.maturity) == (6, 10)


def test_devnet_node_takes_the_chain_id_of_its_dialect_when_none_is_given() -> None:
    given = {"chains.regnmc.chain_id": "null", "chains.regdoge.chain_id": "null"}
    config = config_with(**given)
    assert [node_settings(config, name, None).chain_id for name in ("regnmc", "regdoge")] == [1, 98]


@pytest.mark.parametrize(
    ("parent_family", "children_family", "parent_address"),
    [
        ("litecoin", "devnet-scrypt", "rltc1qw508d6qejxtdg4y5r3zarvary0c5xw7k693xs3"),
        ("devnet-scrypt", "devnet-scrypt", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
    ],
)
def test_devnet_node_has_the_proof_of_work_of_its_parent(
    parent_family: str, children_family: str, parent_address: str
) -> None:
    families = {f"chains.{name}.family": children_family for name in ("regnmc", "regdoge")}
    parent = {"chains.regbtc.family": parent_family, "chains.regbtc.address": parent_address}
    config = config_with(**families, **parent)
    for name in ("regnmc", "regdoge", "alpha"):
        settings = node_settings(config, name, 6)
        assert (settings.pow_hash, settings.start_hashes, settings.least_hashes) == ("scrypt", 2**12, 2**8)
    assert node_settings(config_with(), "alpha", 6).pow_hash == "sha256d"
    if parent_family == "devnet-scrypt":
        assert node_settings(config, "regbtc", 6).pow_hash == "scrypt"


def test_devnet_node_families_are_regtest_when_nothing_else_is_said(tmp_path: Path) -> None:
    without = reference_text().replace('"network": "regtest", ', "").replace('"devnet"', '"devnet-scrypt"')
    assert '"regtest"' not in without
    (tmp_path / "pool.yaml").write_text(without)
    config = load(tmp_path / "pool.yaml")
    assert {chain.network for chain in config.chains.values()} == {"regtest"}


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
