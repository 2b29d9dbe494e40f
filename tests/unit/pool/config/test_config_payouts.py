"""The section `payouts` of a chain: what it becomes, and every mistake with its line and no secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from config_file import GOOD

from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.payout_setup import open_wallet, paying_chains, payout_terms
from pool.payouts.batch import FeePolicy
from pool.payouts.terms import DustRule

PLACE = "    pplns:\n      factor: 2.1\n"


def with_payouts(*lines: str) -> str:
    return GOOD.replace(PLACE, PLACE + "    payouts:\n" + "".join(f"      {line}\n" for line in lines))


def test_config_payouts_are_off_without_a_section(accepted: Callable[..., Config]) -> None:
    assert paying_chains(accepted(GOOD)) == {}


def test_config_payouts_become_the_chains_terms(accepted: Callable[..., Config]) -> None:
    config = accepted(with_payouts("minimum_payout: 5000", "interval_s: 3600", "fee_policy: miner", "confirmations: 3"))
    assert list(paying_chains(config)) == ["regnmc"]
    terms = payout_terms(config, "regnmc")
    assert (terms.chain, terms.minimum_payout, terms.interval_ms) == ("regnmc", 5000, 3_600_000)
    assert (terms.fee_policy, terms.confirmations, terms.maturity) == (FeePolicy.MINER, 3, 10)
    assert terms.dust == DustRule()
    assert terms.hot_ceiling is None


def test_config_payouts_never_spend_before_the_chain_lets_them(accepted: Callable[..., Config]) -> None:
    for own, expected in ((5, 10), (11, 10), (12, 11), (120, 119)):
        text = with_payouts("minimum_payout: 5000")
        config = accepted(text.replace("    payouts:", f"    maturity: {own}\n    payouts:"))
        assert payout_terms(config, "regnmc").maturity == expected
        assert config.chains["regnmc"].credit_maturity == expected + 1


def test_config_credits_are_available_when_a_wallet_spends_the_coins(accepted: Callable[..., Config]) -> None:
    """The ledger's word for money that can be paid: never one block too early. Who pays nothing may say otherwise."""
    assert accepted(GOOD).chains["regnmc"].credit_maturity == 11
    assert accepted(with_payouts("minimum_payout: 5000")).chains["regnmc"].credit_maturity == 11
    config = accepted(GOOD.replace(PLACE, PLACE + "    maturity: 5\n"))
    assert config.chains["regnmc"].credit_maturity == 5


MISTAKES = [
    (("interval_s: 3600",), "payouts:", "minimum_payout: missing key, expected: Nobody is paid less"),
    (("minimum_payout: -1",), "minimum_payout", "minimum_payout: expected a number of at least 1"),
    (("minimum_payout: 0.5",), "minimum_payout", "minimum_payout: expected a whole number"),
    (("minimum_payout: 1", "fee_policy: both"), "fee_policy", "fee_policy: expected"),
    (("minimum_payout: 1", "password: geheim"), "password", "password: unknown key"),
    (
        ("minimum_payout: 1", "user: a", "password_file: f", "password_env: G"), "password_env",
        "password_env: expected one of password_file, password_env, cookie_file, not password_file and password_env",
    ),
    (
        ("minimum_payout: 1", "passphrase_file: f", "passphrase_env: G"), "passphrase_env",
        "passphrase_env: expected one of passphrase_file, passphrase_env, not",
    ),
    (("minimum_payout: 1", "password_env: G"), "password_env", "password_env: expected a user as well"),
    (("minimum_payout: 1", "user: a"), "user", "user: expected password_file or password_env as well"),
    (("minimum_payout: 1", "user: a", "cookie_file: c"), "user", "user: expected no user beside a cookie_file"),
    (("minimum_payout: 1", "password_env: a b"), "password_env", "password_env: expected the name of an environment"),
    (
        ("minimum_payout: 1", "min_fee_rate: 9", "max_fee_rate: 8"), "min_fee_rate",
        "min_fee_rate: expected min_fee_rate ≤ max_fee_rate, these are 9 and 8",
    ),
    (("minimum_payout: 1", "max_fee_rate: 8"), "max_fee_rate", "max_fee_rate: expected min_fee_rate ≤ max_fee_rate"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "where", "message"), MISTAKES, ids=[message[:40] for _, _, message in MISTAKES])
def test_config_payouts_refuse(
    refused: Callable[..., list[str]], lines: tuple[str, ...], where: str, message: str
) -> None:
    text = with_payouts(*lines)
    numbered = list(enumerate(text.splitlines(), 1))
    section = next(n for n, line in numbered if line.strip() == "payouts:")
    number = next(n for n, line in numbered if n >= section and line.strip().startswith(where))
    found = refused(text)
    assert any(line.startswith(f"{number}: chains.regnmc.payouts.{message}") for line in found), found
    assert not any("geheim" in line for line in found)


def test_config_payouts_a_secret_that_is_missing_is_told_by_its_name(
    accepted: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = accepted(with_payouts("minimum_payout: 1", "user: payer", "password_env: PARAPOOL_TEST_SECRET"))
    with pytest.raises(StartError, match="environment variable 'PARAPOOL_TEST_SECRET' of regnmc's wallet is not set"):
        open_wallet(config, "regnmc")
    monkeypatch.setenv("PARAPOOL_TEST_SECRET", "geheim")
    assert open_wallet(config, "regnmc").chain == "regnmc"


@pytest.mark.parametrize(("key", "beside"), [("password_file", ("user: payer",)), ("passphrase_file", ())])
def test_config_payouts_refuse_secret_files_that_cannot_be_used(
    refused: Callable[..., list[str]], accepted: Callable[..., Config], tmp_path: Path, key: str, beside: tuple[str]
) -> None:
    secret = tmp_path / "secret"
    text = with_payouts("minimum_payout: 1", *beside, f"{key}: {secret}")
    number = next(n for n, line in enumerate(text.splitlines(), 1) if line.strip().startswith(f"{key}: /"))
    place = f"{number}: chains.regnmc.payouts.{key}: "
    assert refused(text) == [place + "expected a readable file: No such file or directory"]
    secret.write_text("\n")
    secret.chmod(0o600)
    assert refused(text) == [place + "expected a password on the file's first line"]
    secret.write_bytes(b"\xff\n")
    assert refused(text) == [place + "expected a file of UTF-8 text"]
    secret.write_text("geheim\n")
    secret.chmod(0o644)
    assert refused(text) == [
        place + f"expected a file that not everybody on this machine can read: chmod o-r {secret}"
    ]
    secret.chmod(0o640)
    assert paying_chains(accepted(text))["regnmc"].minimum_payout == 1


def test_config_payouts_a_password_file_that_went_missing_since_is_told(
    accepted: Callable[..., Config], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("geheim\n")
    config = accepted(with_payouts("minimum_payout: 1", "user: payer", f"password_file: {secret}"))
    secret.unlink()
    with pytest.raises(OSError, match="secret"):
        open_wallet(config, "regnmc")
