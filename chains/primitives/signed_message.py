"""Messages signed with an address's key: what "sign message" makes in wallets, checked as strictly as it is written.

Two forms, both base64. BIP137: 65 bytes, a header that says how the key makes the address, then r and s; the key is
recovered from them and must give the address. Electrum and others write the header of a compressed key (31 to 34) for
every address type, which BIP137's own sample refuses and practice takes. BIP322 "simple": the witness of a virtual
spend (chains/primitives/bip322.py), with or without the prefix `smp`. The message's magic is its family's
(chains/families.py); BIP322 has none.

A message is bytes, signed as they are: nothing is trimmed and no line end changed here.
"""

from __future__ import annotations

import binascii

from embit.util import secp256k1

from chains.primitives.bip322 import ORDER, witness_refusal
from chains.primitives.hashes import hash160, sha256d
from chains.primitives.serialize import compact_size

MAX_SIGNATURE = 400
"""Characters of a signature; a P2WPKH witness has 147, with prefix 3 more."""

SIMPLE_PREFIX = "smp"
OTHER_PREFIXES = ("ful", "pof")  # BIP322's full format and proof of funds

COMPACT_SIZE_BYTES = 65

# BIP137: the header's first value, whether the key is compressed, and which addresses it may stand for.
_UNCOMPRESSED, _COMPRESSED, _NESTED, _WITNESS = 27, 31, 35, 39


def message_digest(message: bytes, magic: str) -> bytes:
    """What a BIP137 signature signs (32 bytes): magic and message, each after its length."""
    prefix = magic.encode()
    return sha256d(compact_size(len(prefix)) + prefix + compact_size(len(message)) + message)


def signature_refusal(script: bytes, message: bytes, signature: str, magic: str) -> str | None:
    """None when `signature` is of `message` by the key of the address whose output script is `script`.

    Otherwise the reason, one sentence for the one who sent it.
    """
    kind = _address_kind(script)
    if kind is None:
        return "this kind of address cannot sign: it must stand for a single key (P2PKH, P2WPKH, P2SH-P2WPKH or P2TR)"
    encoded = signature.strip()
    if len(encoded) > MAX_SIGNATURE:
        return f"a signature has at most {MAX_SIGNATURE} characters"
    if encoded.startswith(OTHER_PREFIXES):
        return "only BIP137 and simple BIP322 signatures are taken, this is another BIP322 form"
    is_simple = encoded.startswith(SIMPLE_PREFIX) and len(encoded) % 4 == len(SIMPLE_PREFIX)
    try:
        data = binascii.a2b_base64(encoded.removeprefix(SIMPLE_PREFIX) if is_simple else encoded, strict_mode=True)
    except (binascii.Error, ValueError):
        return "the signature is not base64"
    if not data:
        return "the signature is empty"
    if len(data) == COMPACT_SIZE_BYTES and not is_simple:
        return _compact_refusal(script, kind, message_digest(message, magic), data)
    if kind == "p2pkh":
        return "the signature of a P2PKH address has 65 bytes (BIP137)"
    return witness_refusal(script, message, data)


def _address_kind(script: bytes) -> str | None:
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return "p2pkh"
    if len(script) == 22 and script[:2] == b"\x00\x14":
        return "p2wpkh"
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return "p2sh"
    if len(script) == 34 and script[:2] == b"\x51\x20":
        return "p2tr"
    return None


def _compact_refusal(script: bytes, kind: str, digest: bytes, data: bytes) -> str | None:
    header = data[0]
    if not _UNCOMPRESSED <= header < _WITNESS + 4:
        return "the signature's header byte is none of BIP137's"
    if kind == "p2tr":
        return "a Taproot address signs by BIP322"
    form = header - (header - _UNCOMPRESSED) % 4
    if form not in {"p2pkh": (_UNCOMPRESSED, _COMPRESSED), "p2sh": (_COMPRESSED, _NESTED),
                    "p2wpkh": (_COMPRESSED, _WITNESS)}[kind]:  # fmt: skip
        return "the signature's header byte is of another kind of address"
    r, s = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    pubkey = None
    if 0 < r < ORDER and 0 < s < ORDER:
        pubkey = _recover(digest, data[1:], header - form, compressed=form != _UNCOMPRESSED)
    if pubkey is None or _script_of(kind, pubkey) != script:
        return "the signature is not of this message by this address's key"
    return None


def _recover(digest: bytes, compact: bytes, recovery_id: int, *, compressed: bool) -> bytes | None:
    """The public key that signed, serialized; None when there is none (SEC 1, section 4.1.6)."""
    try:
        parsed = secp256k1.ecdsa_recoverable_signature_parse_compact(compact, recovery_id)
        point = secp256k1.ecdsa_recover(parsed, digest)
    except (ValueError, TypeError, AttributeError):  # the last two: embit's Python curve, met by an x of no point
        return None
    flag = secp256k1.EC_COMPRESSED if compressed else secp256k1.EC_UNCOMPRESSED
    pubkey: bytes = secp256k1.ec_pubkey_serialize(point, flag)
    return pubkey


def _script_of(kind: str, pubkey: bytes) -> bytes:
    key_hash = hash160(pubkey)
    if kind == "p2pkh":
        return b"\x76\xa9\x14" + key_hash + b"\x88\xac"
    if kind == "p2wpkh":
        return b"\x00\x14" + key_hash
    return b"\xa9\x14" + hash160(b"\x00\x14" + key_hash) + b"\x87"
