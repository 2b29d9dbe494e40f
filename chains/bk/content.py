"""What a block of B_k carries besides votes: transfers. And what they and the rewards do to the accounts.

    body    = VarInt n ‖ n × (VarInt length ‖ transfer)
    tx_root = SHA-256d(n(4, little-endian) ‖ merkle root of SHA-256d(transfer), 32 zero bytes for none)

The number stands in front of the merkle root because Bitcoin's tree repeats the last hash of an odd row: without it two
bodies could have one root (CVE-2012-2459). A body that is not the committed one is refused by every node; a transfer
that its sender cannot make is nobody's fault but the leader's, and only ignored by those who keep the accounts.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains.accounts.ledger import LedgerBlock
from chains.accounts.transfer import Payment, Transfer, read_transfer
from chains.primitives.hashes import sha256d
from chains.primitives.merkle import merkle_root
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.votes.graph import KnownBlock
from chains.votes.reward import vote_rewards


def body_of(transfers: Sequence[bytes]) -> bytes:
    return compact_size(len(transfers)) + b"".join(compact_size(len(one)) + one for one in transfers)


def transfers_of(body: bytes) -> tuple[bytes, ...]:
    """The transfers' bytes. Raises MalformedError for a body of another form."""
    reader = Reader(body)
    transfers = tuple(reader.many(reader.variable))
    reader.finish()
    return transfers


def root_of(transfers: Sequence[bytes]) -> bytes:
    root = merkle_root([sha256d(one) for one in transfers]) if transfers else bytes(32)
    return sha256d(len(transfers).to_bytes(4, "little") + root)


def branch_of(transfers: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The merkle branch, leaf first, from one transfer to the root below `tx_root`."""
    row, branch = [sha256d(one) for one in transfers], []
    while len(row) > 1:
        if len(row) % 2:
            row.append(row[-1])
        branch.append(row[index ^ 1])
        row = [sha256d(row[i] + row[i + 1]) for i in range(0, len(row), 2)]
        index >>= 1
    return tuple(branch)


EMPTY_BODY = body_of(())
EMPTY_ROOT = root_of(())


def body_problem(root: bytes, body: bytes) -> str | None:
    """`block-body` for bytes of no form, `block-tx-root` for those that the header does not commit to."""
    if root == EMPTY_ROOT and body == EMPTY_BODY:
        return None
    try:
        transfers = transfers_of(body)
    except MalformedError:
        return "block-body"
    return None if root == root_of(transfers) else "block-tx-root"


def ledger_block(known: KnownBlock, k: int, subsidy: int) -> LedgerBlock:
    """What a block does to the accounts: each vote's part to its script, the rest and the fees to the leader's."""
    votes = known.included()
    amounts = vote_rewards(k, subsidy, 0)
    rewards = tuple(Payment(vote.datum.script, amount) for vote, amount in zip(votes, amounts, strict=True))
    transfers = tuple(one for data in transfers_of(known.body) if (one := _readable(data)) is not None)
    return LedgerBlock(known.height, rewards, votes[0].datum.script, transfers, strict=False)


def _readable(data: bytes) -> Transfer | None:
    try:
        return read_transfer(data)
    except MalformedError:
        return None
