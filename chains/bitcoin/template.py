"""getblocktemplate (BIP22, BIP23, BIP9, BIP145), read with suspicion: what it gives is mined, so nothing is guessed.

Whatever cannot be understood is a TemplateError with one sentence; the caller keeps its last good template.
The node has checked the transactions and their order, which is never changed here (MARA's block 809,478).

`scan` reads the transactions of a regular answer in C, where that was compiled (None elsewhere), and gives what the
code below gives; any other answer, and what is wrong with it, it leaves to that.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypedDict

import msgspec

from chains.bitcoin.params import HARMLESS_RULES, WITNESS_COMMITMENT_HEADER
from chains.kind import ParentTemplate, TemplateError, TemplateTransaction
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.merkle import coinbase_branch
from chains.primitives.target import bits_to_target

Transactions = tuple[TemplateTransaction, ...]

scan: Callable[[bytes | memoryview, type[TemplateTransaction]], tuple[Transactions, bytes] | None] | None
try:
    from chains.bitcoin._template_scan import scan
except ImportError:
    scan = None

Record = Mapping[str, Any]


class OfferedTransaction(msgspec.Struct, frozen=True, gc=False):
    """What a template says of a transaction, as far as we read it."""

    data: str
    txid: str
    hash: str | msgspec.UnsetType = msgspec.UNSET
    fee: Any = 0


class _Offered(TypedDict, total=False):
    """The fields that are read below; what else a template holds is passed over."""

    bits: Any
    coinbaseaux: Any
    coinbasevalue: Any
    curtime: Any
    default_witness_commitment: Any
    height: Any
    longpollid: Any
    mintime: Any
    mweb: Any
    previousblockhash: Any
    rules: Any
    signet_challenge: Any
    target: Any
    transactions: list[OfferedTransaction]
    vbrequired: Any
    version: Any


class _Answer(TypedDict, total=False):
    result: _Offered
    error: Any
    id: Any


_decode_offered = msgspec.json.Decoder(_Answer, float_hook=Decimal).decode
_decode_anything = msgspec.json.Decoder(float_hook=Decimal).decode

MAX_U32 = 2**32 - 1
MIN_TRANSACTION_SIZE = 60  # one input, one output, empty scripts
MAX_LONGPOLL_ID = 1000  # Core's has some 70 characters
HOGEX_FLAG = 0x08  # LIP-0002: bit of the flag byte behind the segwit marker
MWEB_PRESENT = b"\x01"  # the extension is an optional field: 01 and the bytes


def decode_answer(body: bytes | memoryview) -> Any:
    """A node's whole answer to getblocktemplate. Miners wait for it, and its transactions would take ten times as long
    as dictionaries: they come as a tuple of TemplateTransaction, or as a list of OfferedTransaction. Whatever is no
    such template comes as plain JSON does, for its fault to be named. Raises msgspec.DecodeError."""
    answer = _scanned(body)
    if answer is not None:
        return answer
    try:
        return _decode_offered(body)
    except msgspec.ValidationError:
        return _decode_anything(body)


def _scanned(body: bytes | memoryview) -> Any:
    """The answer, or None when the other way has to read it or to say what is wrong with it."""
    found = None if scan is None else scan(body, TemplateTransaction)
    if found is None:
        return None
    transactions, rest = found
    try:
        answer: Any = _decode_offered(rest)
    except msgspec.DecodeError:
        return None
    answer["result"]["transactions"] = transactions
    return answer


def parse_template(answer: Any, *, chain: str, node: str, template_rules: Iterable[str]) -> ParentTemplate:
    """The template in a getblocktemplate answer. `template_rules` are those of the network (kind.Network).
    Raises TemplateError."""
    try:
        return _template(fields.mapping(answer, "getblocktemplate"), chain, node, HARMLESS_RULES | set(template_rules))
    except FieldError as error:
        raise TemplateError(str(error)) from error


def _template(record: Record, chain: str, node: str, known_rules: frozenset[str]) -> ParentTemplate:
    rules = _rules(record, known_rules)
    bits = int.from_bytes(fields.hex_bytes(record, "bits", 4), "big")
    transactions = _transactions(record)
    current_time = fields.integer(record, "curtime", 0, MAX_U32)
    minimum_time = fields.integer(record, "mintime", 0, MAX_U32) if "mintime" in record else current_time
    return ParentTemplate(
        chain=chain,
        height=fields.integer(record, "height", 1, fields.MAX_HEIGHT),
        previous_hash=fields.hash_bytes(record, "previousblockhash"),
        version=fields.integer(record, "version", -(2**31), MAX_U32) & MAX_U32,
        bits=bits,
        target=_target(record, bits),
        current_time=max(current_time, minimum_time),
        minimum_time=minimum_time,
        value_sat=fields.integer(record, "coinbasevalue", 0, fields.MAX_AMOUNT),
        transactions=transactions,
        merkle_branch=coinbase_branch([transaction.txid for transaction in transactions]),
        coinbase_aux=_coinbase_aux(record),
        witness_commitment=_witness_commitment(record, transactions),
        extension=_extension(record, transactions, known_rules),
        rules=rules,
        fixed_version_bits=_fixed_version_bits(record),
        longpoll_id=_longpoll_id(record),
        node=node,
    )


def _rules(record: Record, known_rules: frozenset[str]) -> tuple[str, ...]:
    """BIP9: a rule with `!` changes what a block must be, so a client that does not know it must not mine."""
    rules = []
    for item in _list(record, "rules") if "rules" in record else []:
        if not isinstance(item, str):
            raise TemplateError("rules: a rule is not text")
        name = item.removeprefix("!")
        if name != item and name not in known_rules:
            raise TemplateError(f"rules: the chain requires a rule that we do not know: {name[:50]!r}")
        rules.append(name)
    if "signet_challenge" in record:
        raise TemplateError("rules: a signet's blocks must be signed, which a pool cannot do")
    return tuple(rules)


def _target(record: Record, bits: int) -> int:
    try:
        target = bits_to_target(bits)
    except ValueError as error:
        raise TemplateError(f"bits: {error}") from error
    if "target" in record and int.from_bytes(fields.hex_bytes(record, "target", 32), "big") != target:
        raise TemplateError("target: it is not the target that bits stand for")
    return target


def _transactions(record: Record) -> Transactions:
    offered = record.get("transactions")
    if type(offered) is tuple:  # JSON has none: the scan's
        return offered
    return tuple(_offered(_list(record, "transactions")))


def _offered(items: list[Any]) -> list[TemplateTransaction]:
    """In one go where nothing is wrong with them."""
    parse, missing, found = unhexlify, msgspec.UNSET, []  # takes two thirds of bytes.fromhex's time, and no blanks
    for place, item in enumerate(items):
        if type(item) is not OfferedTransaction:
            found.append(_transaction(item, place))
            continue
        data_hex, txid_hex, wtxid_hex, fee_sat = item.data, item.txid, item.hash, item.fee
        if wtxid_hex is missing:
            wtxid_hex = txid_hex
        try:
            data, txid, wtxid = parse(data_hex), parse(txid_hex), parse(wtxid_hex)
        except ValueError:
            data = txid = wtxid = b""
        if (
            len(txid) == len(wtxid) == 32
            and len(data) >= MIN_TRANSACTION_SIZE
            and type(fee_sat) is int
            and -fields.MAX_AMOUNT <= fee_sat <= fields.MAX_AMOUNT
        ):
            found.append(TemplateTransaction(data, txid[::-1], wtxid[::-1], fee_sat))
        else:
            told = {name: value for name, value in msgspec.structs.asdict(item).items() if value is not missing}
            found.append(_transaction(told, place))  # says what is wrong
    return found


def _transaction(item: Any, place: int) -> TemplateTransaction:
    record = fields.mapping(item, f"transaction {place}")
    data = fields.hex_bytes(record, "data")
    if len(data) < MIN_TRANSACTION_SIZE:
        raise TemplateError(f"transaction {place}: {len(data)} bytes are no transaction")
    txid = fields.hash_bytes(record, "txid")
    wtxid = fields.hash_bytes(record, "hash") if "hash" in record else txid
    fee_sat = fields.integer(record, "fee", -fields.MAX_AMOUNT, fields.MAX_AMOUNT) if "fee" in record else 0
    return TemplateTransaction(data, txid, wtxid, fee_sat)


def _coinbase_aux(record: Record) -> bytes:
    """BIP22: every value of coinbaseaux belongs into the scriptSig."""
    aux = record.get("coinbaseaux")
    if aux is None:
        return b""
    values = fields.mapping(aux, "coinbaseaux").values()
    if not all(fields.is_hex(value) for value in values):
        raise TemplateError("coinbaseaux: expected hex digits")
    return b"".join(bytes.fromhex(value) for value in values)


def _witness_commitment(record: Record, transactions: Transactions) -> bytes | None:
    """The output script that commits to all witnesses (BIP141, BIP145); the same for every coinbase of ours."""
    if record.get("default_witness_commitment") is None:
        if any(transaction.wtxid != transaction.txid for transaction in transactions):
            raise TemplateError("default_witness_commitment: missing, though transactions have witnesses")
        return None
    script = fields.hex_bytes(record, "default_witness_commitment")
    if not script.startswith(WITNESS_COMMITMENT_HEADER) or len(script) < len(WITNESS_COMMITMENT_HEADER) + 32:
        raise TemplateError("default_witness_commitment: not the script of a witness commitment")
    return script


def _extension(record: Record, transactions: Transactions, known_rules: frozenset[str]) -> bytes:
    """Litecoin's MWEB block, which follows the transactions when the last of them is the HogEx."""
    has_hogex = bool(transactions) and _is_hogex(transactions[-1].data)
    if record.get("mweb") in (None, ""):
        if has_hogex and "mweb" in known_rules:
            raise TemplateError("mweb: missing, though the last transaction is a HogEx")
        return b""
    if "mweb" not in known_rules:
        raise TemplateError("mweb: this network is not known to have MWEB")
    if not has_hogex:
        raise TemplateError("mweb: the last transaction is not the HogEx")
    return MWEB_PRESENT + fields.hex_bytes(record, "mweb")


def _is_hogex(data: bytes) -> bool:
    return data[4] == 0 and bool(data[5] & HOGEX_FLAG)


def _fixed_version_bits(record: Record) -> int:
    """BIP9: `vbrequired` must stay set. The bits of `vbavailable` only signal, and BIP320 has given 13 to 28 to miners
    whatever a deployment makes of them (regtest's testdummy: 28); the lower ones are not rolled anyway.
    """
    return fields.integer(record, "vbrequired", 0, MAX_U32) if "vbrequired" in record else 0


def _longpoll_id(record: Record) -> str | None:
    if record.get("longpollid") is None:
        return None
    longpoll_id = fields.text(record, "longpollid")
    if len(longpoll_id) > MAX_LONGPOLL_ID:
        raise TemplateError(f"longpollid: expected at most {MAX_LONGPOLL_ID} characters")
    return longpoll_id


def _list(record: Record, name: str) -> list[Any]:
    value = record.get(name)
    if not isinstance(value, list):
        raise TemplateError(f"{name}: expected a list")
    return value
