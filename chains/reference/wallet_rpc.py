"""The RPC methods of the wallet about its keys and coins, and those that pay by themselves, under their real names and
parameters. History is in history_rpc.py, signing in signing_rpc.py."""

from __future__ import annotations

from typing import Any

from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed
from chains.primitives.transaction import TxOut
from chains.reference.errors import INSUFFICIENT_FUNDS, INVALID_PARAMETER, NOT_FOUND, TYPE, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import amount_sat, boolean, integer, mapping, script_of, text
from chains.reference.views import amount
from chains.reference.wallet import InsufficientFundsError


def last_processed(node: ReferenceNode) -> dict[str, Any]:
    return {"hash": displayed(node.chain.tip.hash), "height": node.chain.tip.height}


def getnewaddress(node: ReferenceNode, label: object = "", address_type: object = None) -> str:
    text(label)
    return node.new_address()


def getrawchangeaddress(node: ReferenceNode, address_type: object = None) -> str:
    return node.new_change_address()


def getaddressinfo(node: ReferenceNode, address: object) -> dict[str, Any]:
    script = script_of(address, node.rules.addresses, NOT_FOUND, "Invalid or unsupported address")
    ours = node.wallet.owns(script)
    return {
        "address": text(address),
        "scriptPubKey": script.hex(),
        "ismine": ours,
        "solvable": ours,
        "iswatchonly": False,
        "isscript": script[0] == 0xA9,
        "iswitness": script[0] not in (0x76, 0xA9),
        "ischange": node.wallet.is_change(script),
        "labels": [""] if ours else [],
    }


def getwalletinfo(node: ReferenceNode) -> dict[str, Any]:
    """Without what only a wallet file has."""
    return {"walletname": "", "walletversion": 169900, "txcount": 0, "keypoolsize": 1, "scanning": False}


def getbalances(node: ReferenceNode) -> dict[str, Any]:
    trusted_sat, immature_sat = node.wallet.balances_sat()
    mine = {
        "trusted": amount(trusted_sat),
        "untrusted_pending": amount(0),
        "immature": amount(immature_sat),
        "nonmempool": amount(0),
    }
    return {"mine": mine, "lastprocessedblock": last_processed(node)}


def getbalance(node: ReferenceNode, dummy: object = "*", minconf: object = 0) -> Any:
    return amount(node.wallet.balances_sat()[0])


def listunspent(node: ReferenceNode, minconf: object = 1, maxconf: object = 9999999) -> list[dict[str, Any]]:
    """Mature coins and, for minconf 0, what waiting transactions pay to the wallet."""
    least, most = integer(minconf), integer(maxconf)
    tip = node.chain.tip
    coins = [(place, coin.output, tip.height - coin.height + 1) for place, coin in node.wallet.spendable()]
    coins += [(place, output, 0) for place, output in node.wallet.waiting()]
    return [
        {
            "txid": displayed(txid),
            "vout": index,
            "address": script_to_address(output.script, node.rules.addresses),
            "label": "",
            "scriptPubKey": output.script.hex(),
            "amount": amount(output.amount_sat),
            "confirmations": count,
            "spendable": True,
            "solvable": True,
            "safe": True,
        }
        for (txid, index), output, count in coins
        if least <= count <= most
    ]


def _pay(node: ReferenceNode, outputs: list[TxOut]) -> str:
    try:
        return displayed(node.send(outputs))
    except InsufficientFundsError as error:
        raise RpcError(INSUFFICIENT_FUNDS, "Insufficient funds") from error


def _output(node: ReferenceNode, address: object, value: object) -> TxOut:
    message = f"Invalid Bitcoin address: {address}"
    script = script_of(address, node.rules.addresses, NOT_FOUND, message)
    value_sat = amount_sat(value)
    if value_sat == 0:
        raise RpcError(TYPE, "Invalid amount for send")
    return TxOut(value_sat, script)


def sendtoaddress(
    node: ReferenceNode,
    address: object,
    amount: object,
    comment: object = "",
    comment_to: object = "",
    subtractfeefromamount: object = False,
) -> str:
    if boolean(subtractfeefromamount):
        raise RpcError(INVALID_PARAMETER, "subtractfeefromamount is not offered by this node")
    return _pay(node, [_output(node, address, amount)])


def sendmany(node: ReferenceNode, dummy: object, amounts: object) -> str:
    return _pay(node, [_output(node, address, value) for address, value in mapping(amounts).items()])
