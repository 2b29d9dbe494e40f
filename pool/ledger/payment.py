"""The groups of everything that leaves a wallet, and of what comes into it without a block.

A payout is reserved when it is planned (`reserve`), then exactly one of: it is final on its chain (`settle`), or it can
never be (`void`). A batch's network fee is booked with its settlement (`fee`), once, for the pool and the miners who
bear it; when a reorg puts another transaction of the batch in its place, which pays the same with another fee, the
difference is booked (`refee`). What the chain undoes after that is undone here as well, as the opposite group
(`unsettle`, `unfee`).

A stranger's coin is booked as such (`deposit`) until the operator claims it (`fund`), or a reorg takes it out of the
chain (`undeposit`). What the operator takes out is
booked when it is planned (`withdraw`), because from then on it is nobody's to be paid with, and taken back when its
transaction never happens (`unwithdraw`). Sweeping and consolidating move nothing but their fee; what it cost to bring
swept coins back is booked when they are there (`come_back`).
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.ledger.account import (
    ASSET_WALLET,
    EXPENSE_TXFEE,
    OPERATOR_AVAILABLE,
    OPERATOR_WITHDRAWN,
    SUSPENSE_DEPOSIT,
    available,
    reserved,
)
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, check, reverse


def reserve(chain: str, payout_id: str, account_id: int, gross: int) -> TransferGroup:
    """`gross` is set aside for a payout. Raises LedgerError unless it is positive and whole, here and below."""
    transfer = Transfer(available(account_id), reserved(account_id), gross)
    return check(TransferGroup(f"reserve:{chain}:{payout_id}", chain, "reserve", (transfer,)))


def void(chain: str, payout_id: str, account_id: int, gross: int) -> TransferGroup:
    """A reserved payout will never be paid: all of it is available again."""
    transfer = Transfer(reserved(account_id), available(account_id), gross)
    return check(TransferGroup(f"void:{chain}:{payout_id}", chain, "void", (transfer,)))


def settle(chain: str, payout_id: str, account_id: int, net: int) -> TransferGroup:
    """`net` arrived for good; the rest of what was reserved is the miner's part of the batch's fee."""
    transfer = Transfer(reserved(account_id), ASSET_WALLET, net)
    return check(TransferGroup(f"settle:{chain}:{payout_id}", chain, "settle", (transfer,)))


def fee(chain: str, batch_id: str, pool_fee: int, parts: Mapping[int, int]) -> TransferGroup:
    """What a batch's transaction cost: the pool's part, and the miners' (account id to amount). A fee of nothing is a
    group without transfers."""
    group_id = f"fee:{chain}:{batch_id}"
    if pool_fee < 0 or any(part < 0 for part in parts.values()):
        raise LedgerError(f"{group_id}: a part of a fee is not negative")
    transfers = [Transfer(EXPENSE_TXFEE, ASSET_WALLET, pool_fee)] if pool_fee else []
    transfers += [Transfer(reserved(account), ASSET_WALLET, part) for account, part in sorted(parts.items()) if part]
    return check(TransferGroup(group_id, chain, "fee", tuple(transfers)))


def refee(chain: str, batch_id: str, number: int, difference: int) -> TransferGroup:
    """The batch's transaction is another one than was booked, and costs the pool so much more, or less when negative.
    `number` counts the times, from 1."""
    group_id = f"refee:{chain}:{batch_id}:{number}"
    if difference < 0:
        transfer = Transfer(ASSET_WALLET, EXPENSE_TXFEE, -difference)
    else:
        transfer = Transfer(EXPENSE_TXFEE, ASSET_WALLET, difference)
    return check(TransferGroup(group_id, chain, "refee", (transfer,)))


def unsettle(settled: TransferGroup, payout_id: str) -> TransferGroup:
    """A settled payout left its chain and can never come back. It is void next."""
    return reverse(settled, f"unsettle:{settled.chain}:{payout_id}", "unsettle")


def unfee(paid: TransferGroup, batch_id: str) -> TransferGroup:
    """The fee of such a batch was never paid."""
    return reverse(paid, f"unfee:{paid.chain}:{batch_id}", "unfee")


def deposit(chain: str, txid_hex: str, vout: int, amount: int, times: int = 0) -> TransferGroup:
    """A stranger's coin is in the wallet. `times` counts how often it was and left the chain before."""
    group_id = f"deposit:{chain}:{txid_hex}:{vout}" + (f":{times}" if times else "")
    return check(TransferGroup(group_id, chain, "deposit", (Transfer(ASSET_WALLET, SUSPENSE_DEPOSIT, amount),)))


def undeposit(deposited: TransferGroup) -> TransferGroup:
    """A reorg took a stranger's coin, which nobody had claimed, out of the chain."""
    return reverse(deposited, f"un{deposited.id}", "undeposit")


def fund(chain: str, reference: str, amount: int) -> TransferGroup:
    """The operator claims a deposit: it is his own money in the pool. `reference` is the deposit's outpoint."""
    transfer = Transfer(SUSPENSE_DEPOSIT, OPERATOR_AVAILABLE, amount)
    return check(TransferGroup(f"fund:{chain}:{reference}", chain, "fund", (transfer,)))


def come_back(chain: str, txid_hex: str, cost: int, *, deposited: int = 0, funded: int = 0) -> TransferGroup:
    """Swept coins are back by a transaction of the operator's, which cost him so much of them; a negative cost is money
    of his that came with them. They never left the books, so what of them was taken for a stranger's coins
    (`deposited`), or for the operator's funds (`funded`), is neither."""
    transfers = [Transfer(SUSPENSE_DEPOSIT, ASSET_WALLET, deposited)] if deposited else []
    transfers += [Transfer(OPERATOR_AVAILABLE, ASSET_WALLET, funded)] if funded else []
    if cost > 0:
        transfers.append(Transfer(EXPENSE_TXFEE, ASSET_WALLET, cost))
    elif cost < 0:
        transfers.append(Transfer(ASSET_WALLET, OPERATOR_AVAILABLE, -cost))
    return check(TransferGroup(f"return:{chain}:{txid_hex}", chain, "return", tuple(transfers)))


def withdraw(chain: str, batch_id: str, amount: int) -> TransferGroup:
    """The operator takes `amount` out."""
    transfer = Transfer(OPERATOR_WITHDRAWN, ASSET_WALLET, amount)
    return check(TransferGroup(f"withdraw:{chain}:{batch_id}", chain, "withdraw", (transfer,)))


def unwithdraw(withdrawn: TransferGroup, batch_id: str) -> TransferGroup:
    """A withdrawal that will never happen."""
    return reverse(withdrawn, f"unwithdraw:{withdrawn.chain}:{batch_id}", "unwithdraw")

