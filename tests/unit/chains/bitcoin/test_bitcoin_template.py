from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.bitcoin import template as reader
from chains.bitcoin.template import decode_answer, parse_template
from chains.kind import ParentTemplate, TemplateError
from chains.primitives.merkle import fold_branch, merkle_root
from chains.primitives.transaction import parse_transaction

FIXTURES = Path(__file__).parents[3] / "fixtures" / "namecoin-regtest"
RECORDED = json.loads((FIXTURES / "getblocktemplate.json").read_text())["response"]["result"]
HOGEX = bytes.fromhex("02000000" + "0008" + "01" + "00" * 60).hex()


def parse(answer: Any, *rules: str) -> ParentTemplate:
    """Read as Python's dictionaries and as the node's bytes, in C and without, which have to say the same."""

    def read(found: Any) -> ParentTemplate:
        return parse_template(found, chain="regbtc", node="n1", template_rules=rules or ("segwit",))

    try:
        body = json.dumps({"result": answer, "error": None, "id": 1}, default=float, allow_nan=False).encode()
    except ValueError:
        return read(answer)  # no node can say it
    offered = [decode_answer(body)["result"]]
    with patch.object(reader, "scan", None):
        offered.append(decode_answer(body)["result"])
    try:
        template = read(answer)
    except TemplateError as error:
        for one in offered:
            with pytest.raises(TemplateError) as also:
                read(one)
            assert str(also.value) == str(error)
        raise
    assert [read(one) for one in offered] == [template, template]
    return template


def recorded(**changes: Any) -> dict[str, Any]:
    """The recorded template with fields replaced; None takes a field out."""
    answer = {**RECORDED, **changes}
    return {name: value for name, value in answer.items() if value is not None}


def test_bitcoin_template_reads_every_field_of_a_recorded_answer() -> None:
    template = parse(RECORDED)
    assert (template.chain, template.node) == ("regbtc", "n1")
    assert (template.height, template.version, template.value_sat) == (153, 65540, 2_500_929_900)
    assert template.previous_hash[::-1].hex() == RECORDED["previousblockhash"]
    assert (template.bits, template.target) == (0x207FFFFF, 0x7FFFFF << 232)
    assert (template.current_time, template.minimum_time) == (1795261954, 1795261821)
    assert template.rules == ("csv", "segwit", "taproot")
    assert template.witness_commitment == bytes.fromhex(RECORDED["default_witness_commitment"])
    assert template.longpoll_id == RECORDED["longpollid"]
    assert (template.coinbase_aux, template.extension) == (b"", b"")
    assert len(template.transactions) == len(RECORDED["transactions"])


def test_bitcoin_template_keeps_the_nodes_order_and_takes_txids_not_hashes() -> None:
    template = parse(RECORDED)
    for transaction, given_fields in zip(template.transactions, RECORDED["transactions"], strict=True):
        assert transaction.data.hex() == given_fields["data"]
        assert transaction.txid == parse_transaction(transaction.data).txid
        assert transaction.wtxid == parse_transaction(transaction.data).wtxid
        assert transaction.fee_sat == given_fields["fee"]
    coinbase_txid = bytes(range(32))
    whole = merkle_root([coinbase_txid, *(transaction.txid for transaction in template.transactions)])
    assert fold_branch(coinbase_txid, template.merkle_branch) == whole


def test_bitcoin_template_without_transactions_has_no_branch() -> None:
    assert parse(recorded(transactions=[])).merkle_branch == ()


def test_bitcoin_template_puts_all_coinbaseaux_values_together() -> None:
    assert parse(recorded(coinbaseaux={"flags": "062f503253482f", "more": "51"})).coinbase_aux == bytes.fromhex(
        "062f503253482f51"
    )
    assert parse(recorded(coinbaseaux=None)).coinbase_aux == b""


def test_bitcoin_template_fixes_version_bits_that_have_a_meaning() -> None:
    template = parse(recorded(vbavailable={"a": 2, "b": 28}, vbrequired=1 << 16))
    assert template.fixed_version_bits == 1 << 16


def test_bitcoin_template_reads_a_negative_version_as_its_four_bytes() -> None:
    assert parse(recorded(version=-1)).version == 0xFFFFFFFF


@pytest.mark.parametrize("name", ["segwit", "csv", "taproot"])
def test_bitcoin_template_accepts_rules_that_it_keeps(name: str) -> None:
    assert parse(recorded(rules=[f"!{name}"])).rules == (name,)


def test_bitcoin_template_ignores_unknown_rules_that_bind_nobody() -> None:
    assert parse(recorded(rules=["future"])).rules == ("future",)


@pytest.mark.parametrize("name", ["future", "signet", "mweb", "ct\n!ot"])
def test_bitcoin_template_refuses_a_binding_rule_that_it_does_not_know(name: str) -> None:
    with pytest.raises(TemplateError, match="a rule that we do not know: '" + name.split("\n")[0]):
        parse(recorded(rules=["csv", f"!{name}"]))


def test_bitcoin_template_refuses_signets() -> None:
    with pytest.raises(TemplateError, match="signet"):
        parse(recorded(signet_challenge="51"))


def test_bitcoin_template_mweb_becomes_the_extension() -> None:
    hogex = {"data": HOGEX, "txid": "11" * 32, "hash": "22" * 32, "fee": 0}
    answer = recorded(transactions=[*RECORDED["transactions"], hogex], mweb="aabb", rules=["!segwit", "!mweb"])
    template = parse(answer, "mweb", "segwit")
    assert template.extension == bytes.fromhex("01aabb")
    assert template.transactions[-1].data.hex() == HOGEX
    with pytest.raises(TemplateError, match="mweb: missing"):
        parse({**answer, "mweb": ""}, "mweb", "segwit")
    with pytest.raises(TemplateError, match="the last transaction is not the HogEx"):
        parse({**answer, "transactions": RECORDED["transactions"]}, "mweb", "segwit")
    with pytest.raises(TemplateError, match="not known to have MWEB"):
        parse({**answer, "rules": []})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "getblocktemplate: expected an object"),
        ([], "getblocktemplate: expected an object"),
        (recorded(height=None), "height: missing"),
        (recorded(height=0), "height: expected"),
        (recorded(height=True), "height: expected"),
        (recorded(height="153"), "height: expected"),
        (recorded(height=10**40), "height: expected"),
        (recorded(previousblockhash="00"), "previousblockhash: expected 64 hex digits"),
        (recorded(previousblockhash="0x" + "00" * 31), "previousblockhash: expected 64 hex digits"),
        (recorded(version=2**32), "version: expected"),
        (recorded(bits="1d00fff"), "bits: expected 8 hex digits"),
        (recorded(bits="00000000"), "bits: compact target"),
        (recorded(bits="ff123456"), "bits: compact target"),
        (recorded(bits="1d00ffff"), "target: it is not the target"),
        (recorded(curtime=-1), "curtime: expected"),
        (recorded(mintime=2**32), "mintime: expected"),
        (recorded(coinbasevalue=Decimal("1.5")), "coinbasevalue: expected"),
        (recorded(coinbasevalue=-1), "coinbasevalue: expected"),
        (recorded(transactions={}), "transactions: expected a list"),
        (recorded(transactions=[5]), "transaction 0: expected an object"),
        (recorded(transactions=[{"data": "00", "txid": "11" * 32}]), "transaction 0: 1 bytes"),
        (recorded(transactions=[{"data": "zz" * 60, "txid": "11" * 32}]), "data: expected hex digits"),
        (recorded(transactions=[{"data": "00" * 60}]), "txid: missing"),
        (recorded(rules="csv"), "rules: expected a list"),
        (recorded(rules=[["!x"]]), "rules: a rule is not text"),
        (recorded(coinbaseaux=[]), "coinbaseaux: expected an object"),
        (recorded(coinbaseaux={"f": 5}), "coinbaseaux: expected hex digits"),
        (recorded(vbrequired=-1), "vbrequired: expected"),
        (recorded(default_witness_commitment=None), "default_witness_commitment: missing"),
        (recorded(default_witness_commitment="6a28" + "00" * 40), "not the script of a witness commitment"),
        (recorded(default_witness_commitment="6a24aa21a9ed"), "not the script of a witness commitment"),
        (recorded(longpollid=5), "longpollid: expected text"),
        (recorded(longpollid="x" * 1001), "longpollid: expected at most"),
    ],
)
def test_bitcoin_template_says_what_is_wrong_in_one_sentence(answer: Any, text: str) -> None:
    with pytest.raises(TemplateError, match=text) as raised:
        parse(answer)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 200


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80) | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def _replaced(field: str, value: Any) -> dict[str, Any]:
    return {**RECORDED, "transactions": RECORDED["transactions"][:2], "mweb": "", field: value}


@settings(max_examples=300, deadline=None)
@given(st.builds(_replaced, st.sampled_from([*RECORDED, "mweb", "signet_challenge"]), JSON) | JSON)
def test_bitcoin_template_garbage_is_a_template_error_and_nothing_else(answer: Any) -> None:
    _either_template_or_error(lambda: parse(answer))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["data", "txid", "hash", "fee"]), JSON)
def test_bitcoin_template_garbage_in_a_transaction_too(field: str, value: Any) -> None:
    transaction = {**RECORDED["transactions"][0], field: value}
    _either_template_or_error(lambda: parse(recorded(transactions=[transaction])))


def _either_template_or_error(read: Callable[[], ParentTemplate]) -> None:
    try:
        template = read()
    except TemplateError as error:
        assert str(error)
    else:
        assert template.height == RECORDED["height"] or template.height > 0
