"""The RPC methods that sign what is handed in: PSBT (BIP174) and raw, and those of a daemon as old as Dogecoin 1.14.

The PSBT container comes from the library `embit`; what this wallet signs it writes as final fields at once, as Core's
does by default.
"""

from __future__ import annotations

import binascii
from dataclasses import replace
from typing import Any

from embit import psbt as bip174
from embit import transaction as embit_transaction
from embit.base import EmbitError
from embit.script import Script, Witness

from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, TxIn, parse_transaction
from chains.reference.errors import DESERIALIZATION, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import boolean, text

UNDECODABLE = "TX decode failed. Make sure the tx has at least one input."


def read_raw(value: object) -> Transaction:
    """A transaction as hex. Raises RpcError."""
    try:
        return parse_transaction(bytes.fromhex(text(value)))
    except (MalformedError, ValueError) as error:
        raise RpcError(DESERIALIZATION, UNDECODABLE) from error


def _read_psbt(value: object) -> Any:
    try:
        return bip174.PSBT.from_base64(text(value))
    except (EmbitError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, binascii.Error) as error:
        raise RpcError(DESERIALIZATION, f"TX decode failed {error}") from error


def _unsigned(psbt: Any) -> Transaction:
    return parse_transaction(psbt.tx.serialize())


def converttopsbt(
    node: ReferenceNode, hexstring: object, permitsigdata: object = False, iswitness: object = None
) -> str:
    transaction = read_raw(hexstring)
    if any(i.script_sig or i.witness for i in transaction.inputs):
        if not boolean(permitsigdata):
            raise RpcError(DESERIALIZATION, "Inputs must not have scriptSigs and scriptWitnesses")
        bare = tuple(replace(i, script_sig=b"", witness=()) for i in transaction.inputs)
        transaction = replace(transaction, inputs=bare)
    return str(bip174.PSBT(embit_transaction.Transaction.parse(transaction.serialize())).to_base64())


def walletprocesspsbt(
    node: ReferenceNode, psbt: object, sign: object = True, sighashtype: object = "ALL", bip32derivs: object = True
) -> dict[str, Any]:
    """Adds the final fields of every input that the wallet can sign; only sighash ALL."""
    container = _read_psbt(psbt)
    unsigned = _unsigned(container)
    if boolean(sign):
        for place, i in zip(container.inputs, node.wallet.sign(unsigned).inputs, strict=True):
            if i.script_sig:
                place.final_scriptsig = Script(i.script_sig)
            if i.witness:
                place.final_scriptwitness = Witness(list(i.witness))
    extracted = _extract(container, unsigned)
    answer: dict[str, Any] = {"psbt": container.to_base64(), "complete": extracted is not None}
    return answer if extracted is None else answer | {"hex": extracted.serialize().hex()}


def finalizepsbt(node: ReferenceNode, psbt: object, extract: object = True) -> dict[str, Any]:
    container = _read_psbt(psbt)
    extracted = _extract(container, _unsigned(container))
    if extracted is None or not boolean(extract):
        return {"psbt": container.to_base64(), "complete": extracted is not None}
    return {"hex": extracted.serialize().hex(), "complete": True}


def _extract(container: Any, unsigned: Transaction) -> Transaction | None:
    """The signed transaction, None while an input has no final fields."""
    inputs: list[TxIn] = []
    for place, i in zip(container.inputs, unsigned.inputs, strict=True):
        script_sig = place.final_scriptsig.data if place.final_scriptsig else b""
        witness = tuple(place.final_scriptwitness.items) if place.final_scriptwitness else ()
        if not script_sig and not witness:
            return None
        inputs.append(replace(i, script_sig=script_sig, witness=witness))
    return replace(unsigned, inputs=tuple(inputs))


def signrawtransactionwithwallet(node: ReferenceNode, hexstring: object) -> dict[str, Any]:
    signed = node.wallet.sign(read_raw(hexstring))
    errors = []
    for i in signed.inputs:
        if not i.script_sig and not i.witness:
            known = node.wallet.source_of(i) is not None
            errors.append(
                {
                    "txid": displayed(i.previous_txid),
                    "vout": i.previous_index,
                    "witness": [],
                    "scriptSig": "",
                    "sequence": i.sequence,
                    "error": "Unable to sign input" if known else "Input not found or already spent",
                }
            )
    answer: dict[str, Any] = {"hex": signed.serialize().hex(), "complete": not errors}
    return answer | {"errors": errors} if errors else answer


def signrawtransaction(node: ReferenceNode, hexstring: object) -> dict[str, Any]:
    """As the wallet of Core 0.14 does it: with its own keys."""
    return signrawtransactionwithwallet(node, hexstring)
