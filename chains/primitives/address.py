"""Addresses and the output scripts they stand for.

Base58check and bech32 come from the library `embit`; which prefixes a network uses is data of its chain kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from embit import base58, bech32

from chains.primitives.hashes import hash160, sha256d

MAX_ADDRESS = 90  # BIP173; base58 addresses have about 35


class AddressError(ValueError):
    """Text that is no address of the network; the message says why, in a form fit for a miner or an operator."""


@dataclass(frozen=True, slots=True)
class AddressFormat:
    """A network's prefixes. Several script-hash versions may be read (Litecoin's M and 3); the first is written."""

    pubkey_hash: int
    script_hash: tuple[int, ...]
    bech32_hrp: str | None = None


def address_to_script(address: str, form: AddressFormat) -> bytes:
    """The scriptPubKey of an address: P2PKH, P2SH, or a witness program (BIP173, BIP350). Raises AddressError."""
    if len(address) > MAX_ADDRESS:  # decoding base58 is quadratic, and a login is a stranger's text
        raise AddressError(f"an address has at most {MAX_ADDRESS} characters")
    hrp = form.bech32_hrp
    if hrp is not None and address.lower().startswith(hrp + "1"):
        return _witness_script(address, hrp)
    try:
        payload = base58.decode_check(address)
    except (ValueError, KeyError, IndexError) as error:
        raise AddressError("not a base58check or bech32 address of this network") from error
    if len(payload) != 21:
        raise AddressError(f"a base58 address holds 21 bytes, this one {len(payload)}")
    version, digest = payload[0], payload[1:]
    if version == form.pubkey_hash:
        return b"\x76\xa9\x14" + digest + b"\x88\xac"
    if version in form.script_hash:
        return b"\xa9\x14" + digest + b"\x87"
    raise AddressError(f"an address of another network (version {version})")


def _witness_script(address: str, hrp: str) -> bytes:
    version, program = bech32.decode(hrp, address)
    if version is None or program is None:
        raise AddressError("wrong bech32 checksum or form")
    return bytes((0x50 + version if version else 0, len(program))) + bytes(program)


def script_to_address(script: bytes, form: AddressFormat) -> str | None:
    """The address of a standard script, or None when it has none on this network."""
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return _base58check(bytes((form.pubkey_hash,)) + script[3:23])
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return _base58check(bytes((form.script_hash[0],)) + script[2:22])
    is_program = 4 <= len(script) <= 42 and script[1] == len(script) - 2
    if form.bech32_hrp is not None and is_program and (script[0] == 0 or 0x51 <= script[0] <= 0x60):
        version = script[0] - 0x50 if script[0] else 0
        encoded: str | None = bech32.encode(form.bech32_hrp, version, script[2:])
        return encoded
    return None


def key_hash_of(script: bytes) -> bytes | None:
    """The 20-byte key hash of a P2PKH or P2WPKH script, else None. Only such a script says who holds the key on
    another chain too, so only it may be carried over (`alpha=same`)."""
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14":
        return script[3:23]
    if len(script) == 22 and script[:2] == b"\x00\x14":
        return script[2:]
    return None


def pay_to_pubkey_hash(pubkey: bytes) -> bytes:
    """The P2WPKH script of a compressed public key."""
    return b"\x00\x14" + hash160(pubkey)


def _base58check(payload: bytes) -> str:
    encoded: str = base58.encode(payload + sha256d(payload)[:4])
    return encoded
