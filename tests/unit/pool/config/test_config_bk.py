"""A chain of kind bk in the configuration: its section, and whose key leads its blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from coincurve import PrivateKey
from config_file import GOOD

from chains.bk.parameters import BkParameters
from chains.families import network
from chains.primitives.address import pay_to_pubkey_hash, script_to_address
from chains.signer.keys import create_key
from pool.config.configuration import BkChain, Config

SECRET = bytes(31) + b"\x07"
VOTES = """\
  votes:
    kind: bk
    context_name: example
    address: ADDRESS
    nodes: [{url: "http://127.0.0.1:9732"}]
"""


def own_address(secret: bytes) -> str:
    script = pay_to_pubkey_hash(PrivateKey(secret).public_key.format())
    address = script_to_address(script, network("bk", "main").addresses)
    assert address is not None
    return address


TEXT = GOOD + VOTES.replace("ADDRESS", own_address(SECRET))


def test_config_takes_a_chain_of_votes(accepted: Callable[..., Config]) -> None:
    chain = accepted(TEXT).aux_chains["votes"]
    assert isinstance(chain, BkChain)
    assert (chain.family, chain.network, chain.context_name) == ("bk", "main", "example")
    assert chain.leader_key_in(Path("data"), "votes") == Path("data/leaders/votes.key")
    assert chain.credit_maturity == BkParameters("x").maturity_blocks + 1
    chosen = accepted(TEXT + "    leader_key_file: /x/lead.key\n").aux_chains["votes"]
    assert isinstance(chosen, BkChain)
    assert chosen.leader_key_in(Path("data"), "votes") == Path("/x/lead.key")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    context_name: example\n", "", "chains.votes.context_name: missing key, expected: The network's `name`"),
        ("context_name: example", "context_name: alpha",
         "chains.votes.context_name: expected a context_name of its own, chains alpha and votes both have 'alpha'"),
        ("context_name: example", "context_name: example\n    chain_id: 5", "chains.votes.chain_id: unknown key"),
        ("context_name: example", "context_name: example\n    leader_key: x",
         "chains.votes.leader_key: unknown key, did you mean leader_key_file?"),
        ("context_name: example", "context_name: example\n    leader_key_file: 5",
         "chains.votes.leader_key_file: expected a path"),
        ("context_name: example", "context_name: example\n    scheme: pps\n    pps: {minimum_reserve: 10}",
         "chains.votes.scheme: expected pplns or solo for chain votes: no subsidy of bk main is known here"),
        ("address: bk1", "address: bc1", "chains.votes.address: expected an address of bk main"),
        ("parent: regbtc", "parent: votes", "parent: expected a chain of kind bitcoin, votes is of kind bk"),
    ],
)  # fmt: skip
def test_config_refuses_a_chain_of_votes_that_cannot_be(
    refused: Callable[..., list[str]], old: str, new: str, expected: str
) -> None:
    assert old in TEXT
    lines = refused(TEXT.replace(old, new))
    assert any(expected in line for line in lines), lines


def test_config_refuses_votes_below_a_scrypt_parent(refused: Callable[..., list[str]]) -> None:
    text = TEXT.replace("kind: bitcoin\n", "kind: bitcoin\n    family: devnet-scrypt\n")
    assert any(
        "chains.votes.kind: expected a parent with proof of work sha256d for kind bk, regbtc has scrypt" in line
        for line in refused(text)
    )


def test_config_leader_key_is_its_owners_alone(
    accepted: Callable[..., Config], refused: Callable[..., list[str]], tmp_path: Path
) -> None:
    key = tmp_path / "lead.key"
    text = TEXT + f"    leader_key_file: {key}\n"
    accepted(text)  # made at the first start
    create_key(key)
    accepted(text)
    key.chmod(0o640)
    (line,) = refused(text)
    assert "chains.votes.leader_key_file: expected a key that only its owner can read" in line
    assert "chmod 600" in line
    assert key.read_text().strip() not in line
    key.chmod(0o600)
    key.write_text("no key\n")
    (line,) = refused(text)
    assert "expected 64 hex digits" in line
    accountant = text.replace("pool:\n", "pool:\n  role: accountant\n")
    accepted(accountant + "transport: {kind: redis, redis_url_env: REDIS_URL}\n")  # it may not read the key


def test_config_leader_key_spends_no_reward(refused: Callable[..., list[str]], tmp_path: Path) -> None:
    key = tmp_path / "lead.key"
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, SECRET.hex().encode())
    os.close(descriptor)
    (line,) = refused(TEXT + f"    leader_key_file: {key}\n")
    assert f"chains.votes.leader_key_file: expected a key of its own: this one spends {own_address(SECRET)}" in line


def test_config_leader_key_file_is_nobody_elses(refused: Callable[..., list[str]], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("geheim\n")
    password.chmod(0o600)
    text = TEXT.replace("        password: geheim\n", f"        password_file: {password}\n")
    (line,) = refused(text + f"    leader_key_file: {tmp_path}/./password\n")
    assert (
        "chains.votes.leader_key_file: expected a file of its own, chains.regbtc.nodes.0.password_file is the same"
        in line
    )


def test_config_leaves_a_key_to_its_own_user(
    accepted: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root checks the file of a pool that runs as somebody else; the start judges the key."""
    key = tmp_path / "lead.key"
    create_key(key)
    key.chmod(0o644)
    monkeypatch.setattr("os.geteuid", lambda: key.stat().st_uid + 1)
    accepted(TEXT + f"    leader_key_file: {key}\n")
