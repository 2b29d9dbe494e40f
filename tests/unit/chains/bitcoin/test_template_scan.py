"""The C reader of a template's transactions gives what the Python code gives, or leaves the answer to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.bitcoin import _template_scan  # not there: the package was installed without a C compiler
from chains.bitcoin import template as reader
from chains.kind import TemplateTransaction

ROOT = Path(__file__).parents[4]
FIXTURE = Path(__file__).parents[3] / "fixtures" / "namecoin-regtest" / "getblocktemplate.json"
EXAMPLES = int(os.environ.get("PARAPOOL_FUZZ_EXAMPLES", "500"))
RECORDED = json.loads(FIXTURE.read_text())["response"]
REAL = json.dumps(RECORDED).encode()
DATA, TXID, HASH = "0123456789abcdefABCDEF" * 6, "1f" * 32, "2e" * 32
ONE = {"data": DATA, "txid": TXID, "hash": HASH, "depends": [], "fee": 7, "sigops": 4, "weight": 400}


def scan(body: bytes | memoryview) -> Any:
    return _template_scan.scan(body, TemplateTransaction)


def answer(*transactions: Any, **others: Any) -> bytes:
    result = {**others, "transactions": list(transactions), "height": 153}
    return json.dumps({"result": result, "error": None, "id": 1}).encode()


def agree(body: bytes) -> bool:
    """What is read in C, Python reads alike; whether it was."""
    found = reader._scanned(body)
    if found is None:
        return False
    expected: Any = reader._decode_offered(body)
    expected["result"]["transactions"] = tuple(reader._offered(expected["result"]["transactions"]))
    assert found == expected
    for one in found["result"]["transactions"]:
        assert [type(value) for value in msgspec.structs.astuple(one)] == [bytes, bytes, bytes, int]
    return True


def test_template_scan_reads_the_recorded_answer():
    assert agree(REAL) and RECORDED["result"]["transactions"]
    transactions, rest = scan(REAL)
    assert [one.data.hex() for one in transactions] == [one["data"] for one in RECORDED["result"]["transactions"]]
    assert json.loads(rest) == {**RECORDED, "result": {**RECORDED["result"], "transactions": []}}


@pytest.mark.parametrize(
    "body",
    [
        answer(), answer(ONE), answer(ONE, ONE), answer(ONE, mweb="ab" * 500), answer({"data": DATA, "txid": TXID}),
        answer(dict(reversed(ONE.items()))), answer({**ONE, "fee": -5}), answer({**ONE, "fee": 10**18 - 1}),
        answer({**ONE, "fee": -(10**18) + 1}), answer({**ONE, "fee": 0}),
        answer({**ONE, "more": {"a": [1, "b", None, True, False, {}, [[-2]]], "data": "x", "fee": "y"}}),
        answer(ONE, vbavailable={"transactions": [1], "result": 5}, result={}, error=[{}]),
        answer(ONE).replace(b":", b" :\n\t").replace(b",", b" ,\r ") + b" \n",
        json.dumps({"id": 1, "result": {"transactions": [ONE]}}, separators=(",", ":")).encode(),
        json.dumps({"transactions": [], "result": {"transactions": [ONE]}}).encode(),
    ],
)  # fmt: skip
def test_template_scan_reads_what_is_regular(body):
    assert agree(body)
    assert scan(memoryview(b"[" + body + b"]")[1:-1]) == scan(body)


@pytest.mark.parametrize("extra", range(40))
def test_template_scan_decodes_data_of_every_length(extra):
    for size in (60, 92, 500, 1000):
        data = os.urandom(size + extra).hex()
        for digits in (data, data.upper()):
            assert agree(answer({**ONE, "data": digits}))


def test_template_scan_takes_digits_only_wherever_they_stand():
    digits = b"0123456789abcdefABCDEF"
    for name, size in (("data", 154), ("txid", 64), ("hash", 64)):
        body = answer({**ONE, name: "#" * size})
        start = body.index(b"#")
        for at in range(size):
            for letter in range(256) if at % 13 == 0 else b"/:@G`g \x00\xb0":
                text = bytearray(body.replace(b"#", b"5"))
                text[start + at] = letter
                assert (scan(text) is not None) == (letter in digits)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"{}", b"[]", b"null", b'{"result":null,"error":{"code":-10,"message":"m"},"id":1}',
        b'{"result":{}}', b'{"result":[]}', b'{"result":{"transactions":{}}}', b'{"result":{"transactions":[5]}}',
        b'{"result":{"transactions":[{}]}}', b'{"result":{"transactions":[,]}}', b'{"result":{"transactions":[]}',
        b'{"result":{"transactions":[]}}x', b'{"result":{"transactions":[]},}', b'{"result":{"transactions":[],}}',
        b'{,"result":{"transactions":[]}}', b'{"result":{"transactions":[]},"result":{"transactions":[]}}',
        b'{"result":{"transactions":[],"transactions":[]}}', b'{"result":{"transactions":[] "a":1}}',
        b'{"result":{"transactions":[]},"error":nul}', b'{"result":{"transactions":[]},"id":01}',
        b'{"result":{"transactions":[]},"id":-0}', b'{"result":{"transactions":[]},"id":1.5}',
        b'{"result":{"transactions":[]},"id":1e5}', b'{"result":{"transactions":[]},"id":+1}',
        b'{"result":{"transactions":[]},"id":-}', b'{"result":{"transactions":[]},"id":1234567890123456789}',
        b'{"re\\u0073ult":{"transactions":[]},"result":{"transactions":[]}}', b"\xef\xbb\xbf" + answer(ONE),
        b'{"result":{"transactions":[]},"x":' + b"[" * 30 + b"]" * 30 + b"}", answer(ONE) + answer(ONE),
        b'{"result":{"transactions":[]},"x":' + b"[" * 10**6, answer(ONE).replace(b"height", b"h\xc3\xa4ight"),
        answer(ONE).replace(b"height", b"h\x00ight"), answer(ONE).replace(b"height", b"h\x7fight"),
        answer(None), answer([ONE]), answer({"data": DATA}), answer({"txid": TXID}), answer(ONE, {**ONE, "fee": 1.5}),
        answer({**ONE, "fee": "7"}), answer({**ONE, "fee": None}), answer({**ONE, "fee": True}),
        answer({**ONE, "fee": 10**18}), answer({**ONE, "fee": -(10**18)}), answer({**ONE, "fee": 10**40}),
        answer({**ONE, "data": "00" * 59}), answer({**ONE, "data": "0" * 121}), answer({**ONE, "data": ""}),
        answer({**ONE, "data": 5}), answer({**ONE, "data": None}), answer({**ONE, "data": DATA + "0g"}),
        answer({**ONE, "txid": "00" * 31}), answer({**ONE, "txid": "00" * 33}), answer({**ONE, "hash": "0" * 63}),
        answer({**ONE, "hash": None}), answer({**ONE, "txid": "zz" * 32}), answer({**ONE, "txid": "+1" * 32}),
        answer(ONE).replace(b'"fee": 7', b'"fee": 7, "fee": 7'), answer(ONE).replace(b'"fee": 7', b'"fee": -0'),
        answer(ONE).replace(b'"hash"', b'"txid"'), answer(ONE).replace(b'"hash"', b'"h\\u0061sh"'),
        answer(ONE).replace(b'"sigops"', b'"s\\\\"'), answer(ONE).replace(TXID.encode(), b"\\u0031" * 32),
        answer(ONE).replace(b'"fee": 7', b'"fee": 7.0'), answer(ONE).replace(b'"fee": 7,', b'"fee": 7'),
        answer(ONE).replace(b'"weight": 400', b'"weight": 4e2'), answer(ONE).replace(b"[]", b"[1,]"),
    ],
)  # fmt: skip
def test_template_scan_leaves_the_rest_to_the_reference(body):
    assert scan(body) is None
    assert reader._scanned(body) is None


def test_template_scan_takes_no_part_of_an_answer_for_a_whole_one():
    body = answer(ONE, {"txid": TXID, "data": DATA}, mweb="ab" * 70)
    for end in range(len(body)):
        assert scan(body[:end]) is None  # in memory of its own


def test_template_scan_refuses_what_is_no_answer():
    for arguments in (("text", TemplateTransaction), (b"",), (b"", TemplateTransaction, 1)):
        with pytest.raises(TypeError):
            _template_scan.scan(*arguments)
    with pytest.raises(TypeError):
        _template_scan.scan(answer(ONE), 5)
    with pytest.raises(ZeroDivisionError):
        _template_scan.scan(answer(ONE), lambda *fields: 1 // 0)
    assert _template_scan.scan(answer(ONE), lambda *fields: fields)[0] == (
        (bytes.fromhex(DATA), bytes.fromhex(TXID), bytes.fromhex(HASH), 7),
    )


def test_template_scan_keeps_nothing_of_an_answer():
    bodies = [answer(*[ONE] * 50), answer(*[ONE] * 50, {**ONE, "hash": "x" * 64}), answer(*[ONE] * 50)[:-1]]
    tracemalloc.start()
    try:
        before = 0
        for turn in range(40):
            for body in bodies:
                scan(body)
            if turn == 10:
                before = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] < before + 4000  # one transaction each time would be 6000
    finally:
        tracemalloc.stop()


def test_template_scan_is_left_out_where_it_was_not_compiled():
    """Python then reads every answer."""
    program = (
        "import sys; sys.modules['chains.bitcoin._template_scan'] = None\n"
        "from chains.bitcoin import template\n"
        "assert template.scan is None\n"
        f"offered = template.decode_answer({answer(ONE)!r})['result']['transactions']\n"
        "assert type(offered) is list and type(offered[0]) is template.OfferedTransaction"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


PIECES = st.binary(max_size=4) | st.sampled_from([
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"0", b"-", b".", b"e1", b"null", b"true", b"\x00",
    b'"data":', b'"txid":"', b'"hash":', b'"fee":1,', b'"fee":-9223372036854775809,', b'"x":[1,{"data":"00"}],',
    b'"transactions":[],', b'"result":{},', b'{"data":"00","txid":"00"},', b"{},", b"[],", b'"":"",', b"\xff",
    TXID.encode(), b"\\u0030", b"00",
])  # fmt: skip
TAKEN = st.integers(0, 3) | st.integers(0, 200)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(REAL)), TAKEN, PIECES), min_size=1, max_size=3))
def test_template_scan_agrees_on_damaged_answers(damages):
    body = REAL
    for at, taken, put in damages:
        body = body[:at] + put + body[at + taken :]
    agree(body)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
    | st.text(max_size=4) | st.sampled_from([DATA, TXID, HASH, "00" * 60]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {"data": st.sampled_from([DATA, DATA.upper(), "00" * 60, "00" * 59]) | VALUES, "txid": st.just(TXID) | VALUES},
    optional={
        "hash": st.just(HASH) | VALUES, "fee": st.integers(-5, 5) | VALUES, "depends": st.lists(st.integers(0, 9)),
        "weight": VALUES,
    },
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(FIELDS, max_size=3), st.dictionaries(st.sampled_from(["mweb", "rules", "x"]), VALUES),
    st.randoms(use_true_random=False), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")]),
)  # fmt: skip
def test_template_scan_agrees_on_answers(transactions, others, random, separators):
    shuffled = [dict(random.sample(list(one.items()), len(one))) for one in transactions]
    result = {**others, "transactions": shuffled, "height": 5}
    result = dict(random.sample(list(result.items()), len(result)))
    body = json.dumps({"result": result, "id": 1}, separators=separators, ensure_ascii=random.random() < 0.5)
    agree(body.encode())
