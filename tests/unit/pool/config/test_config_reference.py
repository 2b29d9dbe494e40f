"""The reference page is what the models say, and the examples in deploy/ are good."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from chains.families import network
from chains.primitives.address import address_to_script
from chains.reference.wallet import script
from pool.config.chains import CHAIN_KINDS
from pool.config.configuration import AuxpowChain, ConfigError, load
from pool.config.models import LimitsSection, PortSection
from pool.config.reference import reference_page
from pool.config.schema import schema_text
from pool.devnet.network_node import NETWORK_KINDS

ROOT = Path(__file__).parents[4]


def test_config_reference_page_is_current() -> None:
    page = (ROOT / "docs/reference/configuration.md").read_text()
    assert page == reference_page(), "run: pool check-config --reference > docs/reference/configuration.md"


def test_config_schema_is_current_and_takes_the_examples() -> None:
    published = (ROOT / "docs/reference/configuration.schema.json").read_text()
    assert published == schema_text(), "run: pool check-config --schema > docs/reference/configuration.schema.json"
    checker = jsonschema_rs.validator_for(json.loads(published))
    for path in sorted((ROOT / "deploy").glob("*.yaml")):
        values = YAML(typ="safe").load(path)
        assert [str(error) for error in checker.iter_errors(values)] == [], path.name
    values["pool"]["fee_ppm"] = "much"
    values["stratum"]["ports"][0]["colour"] = "red"
    assert len(list(checker.iter_errors(values))) == 2


def test_config_reference_has_a_row_with_a_meaning_for_every_key() -> None:
    page = reference_page()
    for model in (PortSection, LimitsSection, *CHAIN_KINDS.values()):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no description"
            assert f"| `{name}` | " in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert all(line.count(" | ") == 3 and not line.endswith(" |  |") for line in rows)


@pytest.mark.parametrize(
    "row",
    [
        "| `factor` | number, > 0, ≤ 1,000 | `2` | ",
        "| `start_difficulty` | number, ≥ 9.09e-13, ≤ 1,073,741,824 | `1` | ",
        "| `fee_ppm` | whole number, ≥ 0, ≤ 1,000,000 | – | The pool's fee on this chain. Default: `pool.fee_ppm`. |",
        "| `notify` | `off` or `new_job` or `clean` | `new_job` | ",
        "| `vardiff` | `true` or `false` | `true` | ",
        "| `kind` | `mm2` | required | ",
    ],
)
def test_config_reference_rows(row: str) -> None:
    assert row in reference_page()


def test_config_devnet_example_is_chains_of_every_kind_on_local_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load("deploy/devnet.yaml")
    assert {name: chain.kind for name, chain in config.chains.items()} == {
        "regbtc": "bitcoin", "regnmc": "auxpow", "regdoge": "auxpow", "alpha": "mm2", "beta": "mm2",
        "votes": "bk", "north": "parallel", "south": "parallel",
    }  # fmt: skip
    assert config.parent == "regbtc"
    urls = [chain.nodes[0].url for chain in config.chains.values()]
    assert urls == [f"http://127.0.0.1:{port}" for port in (*range(19501, 19508), 19507)]
    assert [chain.chain_id for chain in config.chains.values() if isinstance(chain, AuxpowChain)] == [1, 98]
    assert config.stratum.ports[0].bind == "127.0.0.1:3333"
    assert config.http.bind == "127.0.0.1:8080"


def test_config_devnet_example_pays_the_nodes_own_wallets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, chain in load("deploy/devnet.yaml").chains.items():
        if chain.kind in NETWORK_KINDS:
            continue  # test_devnet_network_node.py
        form = network(chain.family, chain.network).addresses
        has_witness = not (isinstance(chain, AuxpowChain) and chain.dialect == "dogecoin")
        assert address_to_script(chain.address, form) == script(name, 0, witness=has_witness)


def test_config_real_example_wants_only_the_operators_addresses() -> None:
    path = ROOT / "deploy/bitcoin-namecoin.yaml"
    with pytest.raises(ConfigError) as refusal:
        load(path)
    assert [line.split(": ")[1] for line in refusal.value.lines] == [
        "chains.bitcoin.address", "chains.namecoin.address"
    ]  # fmt: skip
    config = load(
        path,
        {
            "chains.bitcoin.address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "chains.namecoin.address": "nc1qw508d6qejxtdg4y5r3zarvary0c5xw7kttkktk",
        },
    )
    assert config.parent_chain.nodes[0].zmq_hashblock == "tcp://127.0.0.1:28332"
    assert len(config.stratum.ports) == 2
