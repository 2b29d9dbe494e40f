"""The account that pays a chain's miners: its node is synced and of the right network, and what there is.

The key was judged when it was opened: it is its owner's alone, and it is that of the chain's address.
"""

from __future__ import annotations

from chains.account_wallet import AccountWallet
from pool.doctor.finding import Finding, good, note


async def account_findings(name: str, wallet: AccountWallet) -> list[Finding]:
    """Raises NodeUnavailableError and WalletRefusedError."""
    tip = await wallet.tip()
    account = await wallet.look()
    words = f"synced at height {tip.height}; the account has {account.spendable} and made {account.nonce} transfers"
    found = [good(name, "wallet", words), good(name, "address", f"payouts.key_file has the key of {wallet.address}")]
    if account.waiting:
        words = f"{account.waiting} transfers of it wait at the node"
        found.append(note(name, "transfers", words, "One of them is a payout under way; more are somebody else's."))
    return found
