"""Reading RPC parameters, with the refusals that Bitcoin Core gives for each wrong form."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from chains.primitives.address import AddressError, AddressFormat, address_to_script
from chains.primitives.hashes import from_displayed
from chains.reference.errors import INVALID_PARAMETER, NOT_FOUND, TYPE, RpcError
from chains.reference.rules import COIN_SAT, MAX_MONEY_SAT

_NAMES = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def type_error(value: object, wanted: str) -> RpcError:
    name = _NAMES.get(type(value), "null")
    return RpcError(TYPE, f"JSON value of type {name} is not of expected type {wanted}")


def text(value: object) -> str:
    if not isinstance(value, str):
        raise type_error(value, "string")
    return value


def integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise type_error(value, "number")
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise type_error(value, "bool")
    return value


def mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise type_error(value, "object")
    return value


def hash32(value: object, name: str) -> bytes:
    """A displayed hash as natural bytes."""
    given = text(value)
    if len(given) != 64:
        raise RpcError(INVALID_PARAMETER, f"{name} must be of length 64 (not {len(given)}, for '{given}')")
    try:
        return from_displayed(given)
    except ValueError as error:
        raise RpcError(INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{given}')") from error


def hex_bytes(value: object) -> bytes:
    """Hex of any length; Core reads anything else as no bytes at all, and so does this."""
    try:
        return bytes.fromhex(text(value))
    except ValueError:
        return b""


def script_of(value: object, form: AddressFormat, code: int = NOT_FOUND, message: str = "Invalid address") -> bytes:
    try:
        return address_to_script(text(value), form)
    except AddressError as error:
        raise RpcError(code, message) from error


def amount_sat(value: object) -> int:
    """An amount in coins, as a number or a string, in satoshi; more than eight places are refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise RpcError(TYPE, "Amount is not a number or string")
    try:
        satoshi = Decimal(str(value)) * COIN_SAT
    except InvalidOperation as error:
        raise RpcError(TYPE, "Invalid amount") from error
    if not satoshi.is_finite() or satoshi != satoshi.to_integral_value():
        raise RpcError(TYPE, "Invalid amount")
    if not 0 <= satoshi <= MAX_MONEY_SAT:
        raise RpcError(TYPE, "Amount out of range")
    return int(satoshi)
