"""What a wallet asks of a chain with accounts, as plain functions: kinds enter them into their table of calls.

Amounts are whole smallest units, ids are displayed hex. A batch of payments is one transfer: made, stored, signed,
stored, sent, and sent again as often as one likes, for its nonce lets it be applied once. A batch that must be made
anew (another fee) keeps its nonce, so that at most one of the two is ever applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chains.accounts.ledger import Accounts
from chains.accounts.mempool import Mempool
from chains.accounts.transfer import MAX_AMOUNT, MAX_OUTPUTS, Payment, Transfer, is_signed, owns, read_transfer, sign
from chains.primitives.address import AddressError, AddressFormat, address_to_script, script_to_address
from chains.primitives.hashes import displayed, from_displayed
from chains.primitives.serialize import MalformedError

# As Bitcoin Core numbers them (src/rpc/protocol.h).
TYPE_ERROR, WALLET_ERROR, INVALID_ADDRESS, INVALID_PARAMETER = -3, -4, -5, -8
DESERIALIZATION, VERIFY_REJECTED = -22, -26


class CallRefusedError(Exception):
    """A call that is answered with a JSON-RPC error: its code as Bitcoin Core numbers them, and one sentence."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class AccountChain(Protocol):
    """A followed chain, as the wallet calls see it."""

    @property
    def addresses(self) -> AddressFormat: ...

    @property
    def accounts(self) -> Accounts: ...

    @property
    def mempool(self) -> Mempool: ...

    def block_names(self, height: int) -> Mapping[str, bytes]:
        """What the chain's block at a height that the accounts have is known by: word → id (natural order), `block` and
        perhaps others."""


def address_format(hrp: str) -> AddressFormat:
    """Addresses of a chain of ours: bech32 only. The base58 versions are Bitcoin's test versions, for reading P2PKH
    keys that somebody has already; there is no P2SH, whose 23 bytes would make a parallel block's coinbase ambiguous.
    """
    return AddressFormat(pubkey_hash=111, script_hash=(), bech32_hrp=hrp)


def script_of(chain: AccountChain, address: str) -> bytes:
    """The account of an address. Raises CallRefusedError."""
    try:
        return address_to_script(address, chain.addresses)
    except AddressError as error:
        raise CallRefusedError(INVALID_ADDRESS, f"Invalid address: {error}") from error


def address_of(chain: AccountChain, script: bytes) -> str:
    """The address of an account; a script that has none is told as hex."""
    return script_to_address(script, chain.addresses) or script.hex()


def get_balance(chain: AccountChain, address: str) -> dict[str, Any]:
    """What an account has: `spendable` now, `spoken_for` by its waiting transfers, `immature` rewards; `next_nonce`
    is that of the next transfer after those that wait."""
    script = script_of(chain, address)
    account = chain.accounts.account(script)
    return {
        "address": address,
        "spendable": account.balance,
        "spoken_for": chain.mempool.spoken_for(script),
        "immature": chain.accounts.immature(script),
        "nonce": account.nonce,
        "next_nonce": chain.mempool.next_nonce(script),
        "height": chain.accounts.height,
    }


def list_transfers(chain: AccountChain, address: str, since_height: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """An account's confirmed movements above a height, oldest first, with the block of each; `id` is null for a reward.
    """
    lines = [line for line in chain.accounts.history(script_of(chain, address)) if line.height > since_height]
    return [
        {
            "height": line.height,
            **_names(chain, line.height),
            "id": None if line.id is None else displayed(line.id),
            "amount": line.amount,
            "confirmations": chain.accounts.height - line.height + 1,
        }
        for line in lines[: max(0, limit)]
    ]


def _names(chain: AccountChain, height: int) -> dict[str, str]:
    return {word: displayed(name) for word, name in chain.block_names(height).items()}


def create_transfer(
    chain: AccountChain,
    public_key_hex: str,
    address: str,
    outputs: Sequence[Mapping[str, Any]],
    fee: int | None = None,
    nonce: int | None = None,
) -> dict[str, Any]:
    """An unsigned transfer with its id. `outputs` are {"address", "amount"}. Without a fee the least that is relayed,
    without a nonce the next one; give the nonce to replace what waits under it."""
    sender = script_of(chain, address)
    try:
        public_key = bytes.fromhex(public_key_hex)
    except ValueError as error:
        raise CallRefusedError(INVALID_PARAMETER, "the public key is not hex") from error
    if not owns(public_key, sender):
        raise CallRefusedError(INVALID_PARAMETER, "the address does not belong to the public key")
    if not 1 <= len(outputs) <= MAX_OUTPUTS:
        raise CallRefusedError(INVALID_PARAMETER, f"a transfer has 1 to {MAX_OUTPUTS} outputs")
    paid = tuple(_payment(chain, output) for output in outputs)
    number = chain.mempool.next_nonce(sender) if nonce is None else nonce
    draft = Transfer(sender, public_key, 0, 0, paid)  # both have a fixed size
    least = chain.mempool.least_fee(len(draft.serialize()) + 64)
    transfer = Transfer(sender, public_key, number, least if fee is None else fee, paid)
    return describe(chain, _checked(transfer))


def _payment(chain: AccountChain, output: Any) -> Payment:
    if not isinstance(output, Mapping) or not isinstance(output.get("address"), str):
        raise CallRefusedError(TYPE_ERROR, "an output is an object with an address and an amount")
    amount = output.get("amount")
    if type(amount) is not int or not 0 < amount <= MAX_AMOUNT:
        raise CallRefusedError(TYPE_ERROR, "an amount is a whole number of smallest units above 0")
    return Payment(script_of(chain, output["address"]), amount)


def sign_transfer(chain: AccountChain, hex_bytes: str, secret: bytes) -> dict[str, Any]:
    """The same transfer, signed with the key of its sender; the id stays. Raises CallRefusedError when the secret is
    another account's."""
    transfer = sign(parse(hex_bytes, signed=False), chain.accounts.chain_id, secret)
    if not is_signed(transfer, chain.accounts.chain_id):
        raise CallRefusedError(WALLET_ERROR, "the wallet does not hold the sender's key")
    return describe(chain, transfer)


def get_transfer(chain: AccountChain, id_hex: str) -> dict[str, Any]:
    """Where a transfer is: `state` is confirmed, waiting or unknown; `block` holds it, and `confirmations` is 1 in the
    newest."""
    try:
        transfer_id = from_displayed(id_hex)
    except ValueError as error:
        raise CallRefusedError(INVALID_PARAMETER, f"id: {error}") from error
    height = chain.accounts.height_of(transfer_id)
    if height is not None:
        confirmations = chain.accounts.height - height + 1
        where = {"height": height, **_names(chain, height), "confirmations": confirmations}
        return {"id": id_hex, "state": "confirmed", **where}
    state = "waiting" if transfer_id in chain.mempool else "unknown"
    return {"id": id_hex, "state": state, "height": None, "block": None, "confirmations": 0}


def parse(hex_bytes: str, *, signed: bool = True) -> Transfer:
    """A transfer of hex. Raises CallRefusedError."""
    try:
        return read_transfer(bytes.fromhex(hex_bytes), signed=signed)
    except ValueError as error:
        raise CallRefusedError(DESERIALIZATION, f"no transfer: {error}") from error


def describe(chain: AccountChain, transfer: Transfer) -> dict[str, Any]:
    """A transfer with its id, for people and programs."""
    return {
        "hex": transfer.serialize().hex(),
        "id": displayed(transfer.id_on(chain.accounts.chain_id)),
        "sender": address_of(chain, transfer.sender),
        "nonce": transfer.nonce,
        "fee": transfer.fee,
        "outputs": [{"address": address_of(chain, one.script), "amount": one.amount} for one in transfer.outputs],
        "signed": bool(transfer.signature),
    }


def _checked(transfer: Transfer) -> Transfer:
    try:
        return read_transfer(transfer.serialize(), signed=False)
    except (MalformedError, OverflowError) as error:
        raise CallRefusedError(INVALID_PARAMETER, f"out of bounds: {error}") from error
