"""Payouts of chains with accounts: what the section becomes, whose key may pay, and how an operator makes one."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from coincurve import PrivateKey
from config_file import GOOD

from chains.account_wallet import AccountWallet
from chains.accounts.wallet import address_format
from chains.families import network
from chains.primitives.address import address_to_script, pay_to_pubkey_hash, script_to_address
from chains.signer.keys import create_key, read_key
from pool.cli import commands
from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.payout_setup import open_wallet, payout_terms
from pool.payouts.terms import ACCOUNT_MAX_INPUTS, DustRule

KINDS = {"bk": "context_name: example", "parallel": "network_name: example\n    chain_name: one"}


def address_of(secret: bytes, kind: str) -> str:
    form = network("bk", "main").addresses if kind == "bk" else address_format("ppow")
    address = script_to_address(pay_to_pubkey_hash(PrivateKey(secret).public_key.format()), form)
    assert address is not None
    return address


def text_of(kind: str, address: str, *lines: str) -> str:
    section = f"""\
  payer:
    kind: {kind}
    {KINDS[kind]}
    address: {address}
    nodes: [{{url: "http://127.0.0.1:9732"}}]
    payouts:
      minimum_payout: 1000
"""
    return GOOD + section + "".join(f"      {line}\n" for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_config_account_payouts_become_terms_and_a_wallet(
    kind: str, accepted: Callable[..., Config], tmp_path: Path
) -> None:
    secret = create_key(tmp_path / "payer.key")
    address = address_of(secret, kind)
    config = accepted(text_of(kind, address, f"key_file: {tmp_path / 'payer.key'}", "max_outputs: 7"))
    terms = payout_terms(config, "payer")
    assert terms.account and terms.reward_address == address and terms.incremental_rate is None
    assert (terms.dust, terms.max_inputs, terms.max_outputs) == (DustRule(0, 0), ACCOUNT_MAX_INPUTS, 7)
    assert terms.maturity == config.chains["payer"].chain_network.maturity
    wallet = open_wallet(config, "payer")
    assert isinstance(wallet, AccountWallet)
    assert wallet.script == address_to_script(address, terms.addresses)
    assert not payout_terms(accepted(GOOD.replace("    pplns:", "    payouts: {minimum_payout: 1}\n    pplns:")),
                            "regnmc").account  # fmt: skip


def test_config_account_payouts_by_another_key_do_not_start(accepted: Callable[..., Config], tmp_path: Path) -> None:
    create_key(tmp_path / "payer.key")
    config = accepted(text_of("bk", address_of(bytes(31) + b"\x05", "bk"), f"key_file: {tmp_path / 'payer.key'}"))
    with pytest.raises(StartError, match=r"payer's payouts.key_file: the key is not that of the chain's address"):
        open_wallet(config, "payer")
    (tmp_path / "payer.key").unlink()
    with pytest.raises(StartError, match=r"payer's payouts.key_file: .*payer.key: No such file"):
        open_wallet(config, "payer")


@pytest.mark.parametrize("kind", KINDS)
def test_config_account_payouts_want_a_key_of_their_own_and_nothing_of_coins(
    kind: str, refused: Callable[..., list[str]], tmp_path: Path
) -> None:
    address = address_of(bytes(31) + b"\x05", kind)
    (found,) = refused(text_of(kind, address))
    assert f"chains.payer.payouts: expected a key_file: a chain of kind {kind} is paid from an account" in found
    key = tmp_path / "payer.key"
    create_key(key)
    lines = ("signing: raw", "max_inputs: 5", "consolidate_above: 9", "wallet_name: x", "passphrase_env: X")
    for line in lines:
        name = line.partition(":")[0]
        (found,) = refused(text_of(kind, address, f"key_file: {key}", line))
        assert f"chains.payer.payouts.{name}: expected none: a chain of kind {kind} has accounts" in found
    key.chmod(0o640)
    (found,) = refused(text_of(kind, address, f"key_file: {key}"))
    assert "payouts.key_file: expected a key of our own:" in found and "mode 0640, expected 0600" in found
    key.unlink()
    (found,) = refused(text_of(kind, address, f"key_file: {key}"))
    assert "No such file" in found


def test_config_account_keys_are_not_for_chains_with_coins(
    refused: Callable[..., list[str]], tmp_path: Path
) -> None:
    create_key(tmp_path / "payer.key")
    section = f"    payouts:\n      minimum_payout: 1\n      key_file: {tmp_path}/payer.key\n    pplns:"
    (found,) = refused(GOOD.replace("    pplns:", section))
    assert "regnmc.payouts.key_file: expected none: the wallets of a chain of kind auxpow keep their keys" in found


def test_cli_payouts_new_key_makes_a_key_once_and_tells_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payer.key"

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["pool", "payouts", "new-key", str(file), *arguments])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    code, out, _ = run()
    assert code == 0 and out == address_of(read_key(file), "bk") + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    code, out, err = run("--prefix", "ppow")
    assert (code, out) == (1, "") and "payer.key: File exists" in err and file.read_bytes() == before
    file.unlink()
    assert run("--prefix", "ppow")[1].startswith("ppow1")
