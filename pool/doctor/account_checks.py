"""The account that pays a chain's miners: its node is synced, its key is the address's, its maturity is the chain's.

The key itself was judged when it was opened: it is the owner's alone, and it is that of the chain's address.
"""

from __future__ import annotations

from chains.account_wallet import AccountWallet
from pool.config import Config
from pool.doctor.finding import Finding, good, note, wrong
from pool.payout_setup import payout_terms


async def account_findings(config: Config, name: str, wallet: AccountWallet) -> list[Finding]:
    """Raises NodeUnavailableError and WalletRefusedError."""
    tip = await wallet.tip()
    account = await wallet.look()
    words = f"synced at height {tip.height}; the account has {account.spendable} and made {account.nonce} transfers"
    found = [good(name, "wallet", words), good(name, "address", f"payouts.key_file has the key of {wallet.address}")]
    terms = payout_terms(config, name)
    if account.maturity > terms.maturity:
        words = f"rewards can be spent after {account.maturity} blocks, credits are available at {terms.maturity + 1}"
        remedy = f"Set chains.{name}.maturity to at least {account.maturity + 1}, from when on the account has them."
        found.append(wrong(name, "maturity", words, remedy))
    if account.waiting:
        words = f"{account.waiting} transfers of it wait at the node"
        found.append(note(name, "transfers", words, "One of them is a payout under way; more are somebody else's."))
    return found
