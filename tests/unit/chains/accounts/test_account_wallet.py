"""Wallet calls of an account chain: a batch is made, signed, sent and looked up by an id that never changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from coincurve import PrivateKey

from chains.accounts.ledger import Accounts, LedgerBlock
from chains.accounts.mempool import Mempool
from chains.accounts.transfer import Payment
from chains.accounts.wallet import (
    CallRefusedError,
    address_format,
    address_of,
    create_transfer,
    get_balance,
    get_transfer,
    list_transfers,
    parse,
    sign_transfer,
)
from chains.primitives.address import pay_to_pubkey_hash

CHAIN = b"\x11" * 32
SECRET = bytes(31) + b"\x07"
KEY = PrivateKey(SECRET).public_key.format()
SCRIPT = pay_to_pubkey_hash(KEY)
OTHER = b"\x00\x14" + b"\x05" * 20


def chain() -> Any:
    accounts = Accounts(CHAIN, 1)
    accounts.apply(LedgerBlock(1, (Payment(SCRIPT, 10_000),), SCRIPT, ()))
    accounts.apply(LedgerBlock(2, (Payment(SCRIPT, 50),), SCRIPT, ()))
    return SimpleNamespace(
        addresses=address_format("pa"),
        accounts=accounts,
        mempool=Mempool(accounts, 1000),
        block_names=lambda height: {"block": bytes(31) + bytes((height,))},
    )


def test_account_wallet_batch_from_creation_to_confirmation() -> None:
    on = chain()
    mine, theirs = address_of(on, SCRIPT), address_of(on, OTHER)
    assert mine.startswith("pa1")
    outputs = [{"address": theirs, "amount": 300}, {"address": mine, "amount": 5}]
    made = create_transfer(on, KEY.hex(), mine, outputs)
    assert (made["nonce"], made["signed"]) == (0, False)
    assert made["fee"] == len(bytes.fromhex(made["hex"])) + 64, "1000 per 1000 bytes, signature included"
    signed = sign_transfer(on, made["hex"], SECRET)
    assert signed["id"] == made["id"]
    assert get_transfer(on, made["id"])["state"] == "unknown"
    on.mempool.add(parse(signed["hex"]))
    assert get_transfer(on, made["id"]) == {
        "id": made["id"], "state": "waiting", "height": None, "block": None, "confirmations": 0
    }  # fmt: skip
    balance = get_balance(on, mine)
    assert (balance["spendable"], balance["immature"], balance["next_nonce"]) == (10_000, 50, 1)
    assert balance["spoken_for"] == 305 + made["fee"]
    on.accounts.apply(LedgerBlock(3, (), OTHER, on.mempool.choose(10**6)))
    on.mempool.follow()
    block = "03" + "00" * 31
    assert get_transfer(on, made["id"]) == {
        "id": made["id"], "state": "confirmed", "height": 3, "block": block, "confirmations": 1
    }  # fmt: skip
    lines = list_transfers(on, theirs)
    assert [(line["id"], line["amount"]) for line in lines] == [(made["id"], 300), (None, made["fee"])]
    assert list_transfers(on, mine, since_height=2) == [
        {"height": 3, "block": block, "id": made["id"], "amount": -305 - made["fee"], "confirmations": 1},
        {"height": 3, "block": block, "id": made["id"], "amount": 5, "confirmations": 1},
    ]


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"address": "pb1xyz"}, -5, "Invalid address"),
        ({"public_key_hex": "zz"}, -8, "not hex"),
        ({"public_key_hex": "02" * 33}, -8, "does not belong"),
        ({"outputs": []}, -8, "1 to 1000 outputs"),
        ({"amount": 1.5}, -3, "whole number"),
        ({"amount": 0}, -3, "whole number"),
        ({"fee": 2**70}, -8, "out of bounds"),
        ({"nonce": -1}, -8, "out of bounds"),
    ],
)
def test_account_wallet_refuses_with_a_code_and_a_sentence(changes: dict[str, Any], code: int, reason: str) -> None:
    on = chain()
    mine = address_of(on, SCRIPT)
    outputs = [{"address": mine, "amount": changes.pop("amount", 1)}]
    asked = {"public_key_hex": KEY.hex(), "address": mine, "outputs": outputs, **changes}
    with pytest.raises(CallRefusedError, match=reason) as refused:
        create_transfer(on, **asked)
    assert refused.value.code == code


def test_account_wallet_signs_only_for_its_own_account() -> None:
    on = chain()
    made = create_transfer(on, KEY.hex(), address_of(on, SCRIPT), [{"address": address_of(on, OTHER), "amount": 1}])
    with pytest.raises(CallRefusedError, match="does not hold the sender's key"):
        sign_transfer(on, made["hex"], bytes(31) + b"\x09")
    with pytest.raises(CallRefusedError, match="no transfer"):
        sign_transfer(on, made["hex"][:-2], SECRET)
    with pytest.raises(CallRefusedError, match="id: "):
        get_transfer(on, "12")
