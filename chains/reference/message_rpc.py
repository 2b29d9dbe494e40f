"""The RPC methods that sign and verify messages, so that whoever tries a devnet can change settings at the pool.

Core refuses to sign with a witness address; this wallet has no others on most chains, and signs by BIP137 as other
wallets do.
"""

from __future__ import annotations

import base64

from embit import ec
from embit.util import secp256k1

from chains.kind import BITCOIN_MESSAGE_MAGIC
from chains.primitives.signed_message import message_digest, signature_refusal
from chains.reference.errors import NOT_FOUND, WALLET, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import script_of, text

WITNESS_HEADER, LEGACY_HEADER = 39, 31
"""BIP137: the header byte of a compressed key's P2WPKH and P2PKH address, to which the recovery id is added."""


def signed_message(key: ec.PrivateKey, message: bytes, header: int) -> str:
    """BIP137's 65 bytes as base64."""
    signature = secp256k1.ecdsa_sign_recoverable(message_digest(message, BITCOIN_MESSAGE_MAGIC), key.secret)
    numbers, recovery_id = secp256k1.ecdsa_recoverable_signature_serialize_compact(signature)
    return base64.b64encode(bytes((header + recovery_id,)) + numbers).decode()


def signmessage(node: ReferenceNode, address: object, message: object) -> str:
    script = script_of(address, node.rules.addresses, NOT_FOUND)
    key = node.wallet.key_of(script)
    if key is None:
        raise RpcError(WALLET, "Private key not available")
    return signed_message(key, text(message).encode(), WITNESS_HEADER if script[0] == 0 else LEGACY_HEADER)


def verifymessage(node: ReferenceNode, address: object, signature: object, message: object) -> bool:
    script = script_of(address, node.rules.addresses, NOT_FOUND)
    return signature_refusal(script, text(message).encode(), text(signature), BITCOIN_MESSAGE_MAGIC) is None
