from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from chains.bitcoin.block import BitcoinKind, block_bytes, header_bytes
from chains.bitcoin.coinbase import build_coinbase, with_witness
from chains.bitcoin.template import parse_template
from chains.kind import SolvedHeader
from chains.primitives.header import parse_header, read_header
from chains.primitives.merkle import merkle_root
from chains.primitives.serialize import Reader
from chains.primitives.transaction import read_transaction

FIXTURES = Path(__file__).parents[3] / "fixtures" / "namecoin-regtest"
RECORDED = json.loads((FIXTURES / "getblocktemplate.json").read_text())["response"]["result"]
TEMPLATE = parse_template(RECORDED, chain="regbtc", node="n1", template_rules=("segwit",))
COINBASE = build_coinbase(TEMPLATE, [], bytes.fromhex("0014") + bytes(20)).stripped(bytes(8))


def test_bitcoin_block_reads_back_with_the_right_merkle_root() -> None:
    header = header_bytes(TEMPLATE, COINBASE, nonce=7)
    payload = BitcoinKind().assemble(SolvedHeader(header, COINBASE, TEMPLATE.merkle_branch), TEMPLATE)
    reader = Reader(bytes.fromhex(payload["block"]))
    read = read_header(reader)
    transactions = [read_transaction(reader) for _ in range(reader.count())]
    reader.finish()
    assert (read.version, read.bits, read.nonce, read.time) == (65540, 0x207FFFFF, 7, TEMPLATE.current_time)
    assert read.previous_hash == TEMPLATE.previous_hash
    assert read.merkle_root == merkle_root([transaction.txid for transaction in transactions])
    assert transactions[0].inputs[0].witness == (bytes(32),)
    assert [t.serialize().hex() for t in transactions[1:]] == [t["data"] for t in RECORDED["transactions"]]


def test_bitcoin_block_without_segwit_has_no_coinbase_witness() -> None:
    plain = replace(TEMPLATE, witness_commitment=None, transactions=(), merkle_branch=())
    block = block_bytes(bytes(80), COINBASE, plain)
    assert block == bytes(80) + b"\x01" + COINBASE
    with_commitment = replace(plain, witness_commitment=TEMPLATE.witness_commitment)
    assert block_bytes(bytes(80), COINBASE, with_commitment) == bytes(80) + b"\x01" + with_witness(COINBASE)


def test_bitcoin_block_ends_with_the_extension() -> None:
    block = block_bytes(bytes(80), COINBASE, replace(TEMPLATE, extension=b"\x01\xaa\xbb"))
    assert block == block_bytes(bytes(80), COINBASE, TEMPLATE) + b"\x01\xaa\xbb"


def test_bitcoin_block_proposal_is_the_block_with_nonce_zero() -> None:
    block = bytes.fromhex(BitcoinKind().proposal(COINBASE, TEMPLATE)["block"])
    header = parse_header(block[:80])
    assert (header.nonce, header.time) == (0, TEMPLATE.current_time)
    assert block == block_bytes(header_bytes(TEMPLATE, COINBASE), COINBASE, TEMPLATE)


def test_bitcoin_block_header_takes_another_time() -> None:
    assert parse_header(header_bytes(TEMPLATE, COINBASE, time=5)).time == 5
