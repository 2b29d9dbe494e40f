"""`pool init`: what it writes is what `pool check-config` accepts, and the ready files of deploy/ are its own."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from chains.auxpow.params import KNOWN_CHAIN_IDS
from chains.families import FAMILIES
from pool.cli.commands import commands
from pool.config.configuration import ConfigError, load
from pool.init_file import CHAINS, NETWORKS, PARENTS, SCHEMES, Answers, aux_of, placeholder, quoted, rendered

ROOT = Path(__file__).parents[4]
ADDRESSES = {
    ("bitcoin", "main"): "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    ("bitcoin", "test"): "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    ("bitcoin", "regtest"): "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    ("litecoin", "main"): "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
    ("namecoin", "main"): "nc1qw508d6qejxtdg4y5r3zarvary0c5xw7kttkktk",
    ("dogecoin", "main"): "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L",
}
TEST_ADDRESS = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn"  # P2PKH, version 6f: every family's test networks but Dogecoin's


def address_of(chain: str, network: str) -> str:
    return ADDRESSES.get((chain, network), TEST_ADDRESS)


def run(*words: str, given: str | None = None) -> Any:
    return CliRunner().invoke(commands, ["init", *words], input=given)


@pytest.mark.parametrize(
    ("parent", "network", "scheme", "payouts"),
    [case for case in itertools.product(PARENTS, NETWORKS, SCHEMES, (True, False))],
)
def test_cli_init_writes_what_check_config_accepts(
    tmp_path: Path, parent: str, network: str, scheme: str, payouts: bool
) -> None:
    chains = (parent, *(c for c in aux_of(parent) if (c, network) != ("dogecoin", "test")))
    file = tmp_path / "pool.yaml"
    words = [word for c in chains for word in ("--address", f"{c}={address_of(c, network)}")]
    words += [word for c in chains[1:] or ("none",) for word in ("--aux", c)]
    outcome = run(
        str(file), "--yes", "--parent", parent, "--network", network, "--scheme", scheme,
        "--payouts" if payouts else "--no-payouts", "--data-dir", str(tmp_path / "data"), *words,
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert "written and good" in outcome.output
    config = load(file)
    assert (config.parent, tuple(config.chains)) == (parent, chains)
    for name, chain in config.chains.items():
        assert (chain.network, chain.scheme, chain.payouts is not None) == (network, scheme, payouts)
        assert chain.nodes[0].url == f"http://127.0.0.1:{CHAINS[name].ports[network]}"


def test_cli_init_asks_and_asks_again(tmp_path: Path) -> None:
    file = tmp_path / "my pool.yaml"
    answers = [
        "bitcoin", "namecoin", "regtest", "nonsense", ADDRESSES["bitcoin", "regtest"], TEST_ADDRESS,
        "http://127.0.0.1:1", "", "/cookies/bitcoin", "", "y", "solo", str(tmp_path / "data: #1"),
    ]  # fmt: skip
    outcome = run(str(file), given="\n".join(answers) + "\n")
    assert outcome.exit_code == 0, outcome.output + outcome.stderr
    assert "no address of bitcoin regtest" in outcome.stderr
    config = load(file)
    assert config.pool.data_dir == tmp_path / "data: #1"
    nodes = {name: chain.nodes[0] for name, chain in config.chains.items()}
    assert nodes["bitcoin"].url == "http://127.0.0.1:1" and str(nodes["bitcoin"].cookie_file) == "/cookies/bitcoin"
    assert nodes["namecoin"].url == "http://127.0.0.1:18543"
    assert {chain.scheme for chain in config.chains.values()} == {"solo"}


def test_cli_init_can_do_without_auxiliary_chains(tmp_path: Path) -> None:
    words = ["--yes", "--aux", "none", "--address", f"bitcoin={address_of('bitcoin', 'main')}"]
    outcome = run(str(tmp_path / "p.yaml"), "--data-dir", str(tmp_path), *words)
    assert outcome.exit_code == 0 and tuple(load(tmp_path / "p.yaml").chains) == ("bitcoin",)


def test_cli_init_never_writes_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text("mine\n")
    outcome = run(str(file), "--yes")
    assert outcome.exit_code == 1 and "is there already" in outcome.stderr
    assert file.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--aux", "dogecoin"], "dogecoin has another proof of work; with bitcoin: namecoin or none"),
        (["--aux", "nonsense"], "nonsense is not known here"),
        ([], "--yes needs --address bitcoin=ADDRESS"),
        (["--address", "bitcoin"], "--address wants CHAIN=…, CHAIN being bitcoin or namecoin"),
        (["--node", "litecoin=http://x:1"], "--node wants CHAIN=…"),
        (["--address", "bitcoin=nonsense"], "no address of bitcoin main"),
    ],
)
def test_cli_init_refuses_what_cannot_be(tmp_path: Path, words: list[str], told: str) -> None:
    file = tmp_path / "pool.yaml"
    outcome = run(str(file), "--yes", *words)
    assert outcome.exit_code == 2 and told in outcome.stderr
    assert not file.exists()


def test_cli_init_says_what_check_config_finds_in_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    words = [word for c in ("bitcoin", "namecoin") for word in ("--address", f"{c}={address_of(c, 'main')}")]
    outcome = run(str(file), "--yes", "--node", "bitcoin=nonsense", "--data-dir", str(tmp_path), *words)
    assert outcome.exit_code == 1
    assert f"{file}:" in outcome.stderr and "chains.bitcoin.nodes.0.url" in outcome.stderr


def test_cli_init_ends_when_nobody_answers(tmp_path: Path) -> None:
    outcome = run(str(tmp_path / "pool.yaml"), given="bitcoin\n")
    assert outcome.exit_code == 1 and not (tmp_path / "pool.yaml").exists()


# -- the ready files --------------------------------------------------------------------------------------------------

READY = {
    "litecoin-dogecoin.yaml": Answers("litecoin", ("dogecoin",), payouts=True),
    "solo.yaml": Answers("bitcoin", ("namecoin",), scheme="solo"),
    "regtest.yaml": Answers("bitcoin", ("namecoin",), network="regtest", data_dir="./data"),
}


@pytest.mark.parametrize("name", READY)
def test_init_ready_files_are_its_own_and_want_only_the_operators_addresses(name: str, tmp_path: Path) -> None:
    answers, path = READY[name], ROOT / "deploy" / name
    assert path.read_text("utf-8") == rendered(answers, f"deploy/{name}")
    chains = (answers.parent, *answers.aux)
    own_place = {"pool.data_dir": str(tmp_path)}
    with pytest.raises(ConfigError) as refusal:
        load(path, own_place)
    assert [line.split(": ")[1] for line in refusal.value.lines] == [f"chains.{chain}.address" for chain in chains]
    load(path, own_place | {f"chains.{chain}.address": address_of(chain, answers.network) for chain in chains})


def test_init_knows_chains_as_the_rest_of_the_pool_does() -> None:
    for name, chain in CHAINS.items():
        networks = FAMILIES[name]
        assert {network.pow_hash for network in networks.values()} == {chain.pow_name}
        assert set(chain.ports) == set(chain.folders) == set(networks) == set(NETWORKS)
        ids = [line.partition(": ")[2] for line in chain.own if line.startswith("chain_id")]
        assert all(KNOWN_CHAIN_IDS[int(number)] == name for number in ids)
    for network in NETWORKS:
        for parent in PARENTS:
            ports = [CHAINS[chain].ports[network] for chain in (parent, *aux_of(parent))]
            assert len(set(ports)) == len(ports), "two daemons of one machine"
    assert placeholder("bitcoin") == "YOUR-BITCOIN-ADDRESS"


@pytest.mark.parametrize(
    "text", ["plain", "/a/b.c", "", "true", "No", "12", "a b", "a: b", "# x", 'quo"te\\', "é\t", "-x"]
)
def test_init_quotes_whatever_would_be_read_as_something_else(text: str) -> None:
    assert YAML(typ="safe").load(f"key: {quoted(text)}") == {"key": text}
