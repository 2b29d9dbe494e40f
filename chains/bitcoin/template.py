"""getblocktemplate (BIP22, BIP23, BIP9, BIP145), read with suspicion: what it gives is mined, so nothing is guessed.

Whatever cannot be understood is a TemplateError with one sentence; the caller keeps its last good template.
The node has checked the transactions and their order, which is never changed here (MARA's block 809,478).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chains.bitcoin.params import HARMLESS_RULES, WITNESS_COMMITMENT_HEADER
from chains.kind import ParentTemplate, TemplateError, TemplateTransaction
from chains.primitives.merkle import coinbase_branch
from chains.primitives.target import bits_to_target

MAX_U32 = 2**32 - 1
MAX_AMOUNT_SAT = 2**63 - 1
HOGEX_FLAG = 0x08  # LIP-0002: bit of the flag byte behind the segwit marker
MWEB_PRESENT = b"\x01"  # the extension is an optional field: 01 and the bytes


def parse_template(answer: Any, *, chain: str, node: str, template_rules: Iterable[str]) -> ParentTemplate:
    """The template in a getblocktemplate answer. `template_rules` are those of the network (kind.Network)."""
    fields = _object(answer, "the template")
    known_rules = HARMLESS_RULES | frozenset(template_rules)
    rules = _rules(fields, known_rules)
    bits = int.from_bytes(_hex(fields, "bits", 4), "big")
    transactions = tuple(_transaction(item, place) for place, item in enumerate(_list(fields, "transactions")))
    minimum_time = _integer(fields, "mintime", MAX_U32) if "mintime" in fields else _integer(fields, "curtime", MAX_U32)
    return ParentTemplate(
        chain=chain,
        height=_integer(fields, "height", 2**31 - 1, minimum=1),
        previous_hash=_hex(fields, "previousblockhash", 32)[::-1],
        version=_integer(fields, "version", MAX_U32, minimum=-(2**31)) & MAX_U32,
        bits=bits,
        target=_target(fields, bits),
        current_time=max(_integer(fields, "curtime", MAX_U32), minimum_time),
        minimum_time=minimum_time,
        value_sat=_integer(fields, "coinbasevalue", MAX_AMOUNT_SAT),
        transactions=transactions,
        merkle_branch=coinbase_branch([transaction.txid for transaction in transactions]),
        coinbase_aux=_coinbase_aux(fields),
        witness_commitment=_witness_commitment(fields, transactions),
        extension=_extension(fields, transactions, known_rules),
        rules=rules,
        fixed_version_bits=_fixed_version_bits(fields),
        longpoll_id=_longpoll_id(fields),
        node=node,
    )


def _rules(fields: dict[str, Any], known_rules: frozenset[str]) -> tuple[str, ...]:
    """BIP9: a rule with `!` changes what a block must be, so a client that does not know it must not mine."""
    rules = []
    for item in _list(fields, "rules") if "rules" in fields else []:
        if not isinstance(item, str):
            raise TemplateError("rules: a rule is not text")
        name = item.removeprefix("!")
        if name != item and name not in known_rules:
            raise TemplateError(f"rules: the chain requires a rule that we do not know: {name[:50]!r}")
        rules.append(name)
    if "signet_challenge" in fields:
        raise TemplateError("rules: a signet's blocks must be signed, which a pool cannot do")
    return tuple(rules)


def _target(fields: dict[str, Any], bits: int) -> int:
    try:
        target = bits_to_target(bits)
    except ValueError as error:
        raise TemplateError(f"bits: {error}") from error
    if "target" in fields and int.from_bytes(_hex(fields, "target", 32), "big") != target:
        raise TemplateError("target: it is not the target that bits stand for")
    return target


def _transaction(item: Any, place: int) -> TemplateTransaction:
    fields = _object(item, f"transaction {place}")
    data = _hex(fields, "data", None)
    if len(data) < 60:
        raise TemplateError(f"transaction {place}: {len(data)} bytes are no transaction")
    txid = _hex(fields, "txid", 32)[::-1]
    wtxid = _hex(fields, "hash", 32)[::-1] if "hash" in fields else txid
    fee_sat = _integer(fields, "fee", MAX_AMOUNT_SAT, minimum=-MAX_AMOUNT_SAT) if "fee" in fields else 0
    return TemplateTransaction(data, txid, wtxid, fee_sat)


def _coinbase_aux(fields: dict[str, Any]) -> bytes:
    """BIP22: every value of coinbaseaux belongs into the scriptSig."""
    aux = fields.get("coinbaseaux")
    if aux is None:
        return b""
    values = _object(aux, "coinbaseaux")
    return b"".join(_hex(values, name, None, "coinbaseaux") for name in values)


def _witness_commitment(fields: dict[str, Any], transactions: tuple[TemplateTransaction, ...]) -> bytes | None:
    """The output script that commits to all witnesses (BIP141, BIP145); the same for every coinbase of ours."""
    if fields.get("default_witness_commitment") is None:
        if any(transaction.wtxid != transaction.txid for transaction in transactions):
            raise TemplateError("default_witness_commitment: missing, though transactions have witnesses")
        return None
    script = _hex(fields, "default_witness_commitment", None)
    if not script.startswith(WITNESS_COMMITMENT_HEADER) or len(script) < len(WITNESS_COMMITMENT_HEADER) + 32:
        raise TemplateError("default_witness_commitment: not the script of a witness commitment")
    return script


def _extension(
    fields: dict[str, Any], transactions: tuple[TemplateTransaction, ...], known_rules: frozenset[str]
) -> bytes:
    """Litecoin's MWEB block, which follows the transactions when the last of them is the HogEx."""
    has_hogex = bool(transactions) and _is_hogex(transactions[-1].data)
    if fields.get("mweb") in (None, ""):
        if has_hogex and "mweb" in known_rules:
            raise TemplateError("mweb: missing, though the last transaction is a HogEx")
        return b""
    if "mweb" not in known_rules:
        raise TemplateError("mweb: this network is not known to have MWEB")
    if not has_hogex:
        raise TemplateError("mweb: the last transaction is not the HogEx")
    return MWEB_PRESENT + _hex(fields, "mweb", None)


def _is_hogex(data: bytes) -> bool:
    return data[4] == 0 and bool(data[5] & HOGEX_FLAG)


def _fixed_version_bits(fields: dict[str, Any]) -> int:
    """BIP9: `vbrequired` must stay set; `vbavailable` bits signal for deployments, which is not for miners to roll."""
    fixed = _integer(fields, "vbrequired", MAX_U32) if "vbrequired" in fields else 0
    if fields.get("vbavailable") is not None:
        available = _object(fields["vbavailable"], "vbavailable")
        for name in available:
            fixed |= 1 << _integer(available, name, 31, label="vbavailable")
    return fixed


def _longpoll_id(fields: dict[str, Any]) -> str | None:
    longpoll_id = fields.get("longpollid")
    if longpoll_id is None:
        return None
    if not isinstance(longpoll_id, str) or len(longpoll_id) > 1000:
        raise TemplateError("longpollid: expected a text")
    return longpoll_id


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TemplateError(f"{what} is not an object")
    return value


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise TemplateError(f"{name}: expected a list")
    return value


def _integer(fields: dict[str, Any], name: str, maximum: int, *, minimum: int = 0, label: str = "") -> int:
    value = fields.get(name)
    if type(value) is not int or not minimum <= value <= maximum:
        raise TemplateError(f"{label or name}: expected a whole number from {minimum} to {maximum}")
    return value


def _hex(fields: dict[str, Any], name: str, size: int | None, label: str = "") -> bytes:
    value = fields.get(name)
    if isinstance(value, str):
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = None
        if data is not None and len(value) == 2 * len(data) and size in (None, len(data)):
            return data
    raise TemplateError(f"{label or name}: expected {'' if size is None else f'{2 * size} '}hex digits")
