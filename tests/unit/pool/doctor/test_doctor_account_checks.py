"""What the doctor says of the account that pays a chain."""

from __future__ import annotations

import pytest
from support.fake_account import FakeAccountWallet

from chains.wallet import WalletRefusedError
from pool.doctor.account_checks import account_findings
from pool.doctor.chain_checks import _wallet_remedy


async def test_doctor_tells_what_an_account_has_and_whose_transfers_wait() -> None:
    chain = FakeAccountWallet(maturity=3)
    chain.mine(1, reward=1000)
    chain.mine(3)
    found = await account_findings("votes", chain.real)
    assert [(one.check, one.found) for one in found] == [
        ("wallet", f"synced at height {chain.height}; the account has 1000 and made 0 transfers"),
        ("address", f"payouts.key_file has the key of {chain.real.address}"),
    ]
    chain.steal(900, fee=300)
    found = await account_findings("votes", chain.real)
    assert (found[-1].check, found[-1].found) == ("transfers", "1 transfers of it wait at the node")


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"synced": False}, "Wait until it is done"),
        ({"maturity": 9}, "Correct chains.votes.maturity"),
        ({"holes": 2}, "Somebody hides bodies"),
    ],
)
async def test_doctor_tells_why_an_account_cannot_pay(change: dict[str, int], remedy: str) -> None:
    chain = FakeAccountWallet(maturity=3, chain_name="beta")
    for name, value in change.items():
        setattr(chain, name, value)
    with pytest.raises(WalletRefusedError) as refused:
        await account_findings("votes", chain.real)
    assert remedy in _wallet_remedy(str(refused.value), "chains.votes.payouts")
