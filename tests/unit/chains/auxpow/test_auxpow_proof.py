"""CAuxPow bytes, and the node's rules in their order."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.auxpow.commitment import AuxPowKind, AuxPowSlot, tag_of
from chains.auxpow.proof import MAGIC, AuxPow, build, check, parse, verify
from chains.auxpow.slots import slot_of
from chains.kind import AuxTemplate, SolvedHeader
from chains.primitives.hashes import displayed, scrypt_1024, sha256d
from chains.primitives.header import Header, parse_header
from chains.primitives.merkle import coinbase_branch, fold_branch
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut

BLOCK_HASH = sha256d(b"child block")
OTHERS = (sha256d(b"1"), sha256d(b"2"))
hash32 = st.binary(min_size=32, max_size=32)
coinbases = st.builds(
    lambda script, outputs: Transaction(1, (TxIn(NULL_HASH, NULL_INDEX, script),), tuple(outputs)),
    st.binary(max_size=100),
    st.lists(st.builds(TxOut, st.integers(0, 2**50), st.binary(max_size=50)), max_size=3),
)
headers = st.builds(
    Header, st.integers(0, 2**32 - 1), hash32, hash32,
    *[st.integers(0, 2**32 - 1)] * 3,
)  # fmt: skip
auxpows = st.builds(
    AuxPow, coinbases, hash32, st.lists(hash32, max_size=4).map(tuple), st.integers(-(2**31), 2**31 - 1),
    st.lists(hash32, max_size=32).map(tuple), st.integers(-(2**31), 2**31 - 1), headers,
)  # fmt: skip


def coinbase_of(script_sig: bytes) -> Transaction:
    return Transaction(2, (TxIn(NULL_HASH, NULL_INDEX, script_sig),), (TxOut(5000, b"\x51"),))


def rebuilt(auxpow: AuxPow, script_sig: bytes) -> AuxPow:
    """The proof over another scriptSig, its parent's merkle root following."""
    coinbase = coinbase_of(script_sig)
    parent = replace(auxpow.parent, merkle_root=fold_branch(coinbase.txid, auxpow.branch))
    return replace(auxpow, coinbase=coinbase, parent=parent)


@pytest.fixture
def auxpow() -> AuxPow:
    """A good proof for chain id 1, height 2."""
    index, chain_branch = slot_of(1, 2), (sha256d(b"x"), sha256d(b"y"))
    root = fold_branch(BLOCK_HASH, chain_branch, index)
    script_sig = b"\x03abc\x2c" + tag_of(root, 2)
    empty = AuxPow(
        coinbase_of(b""), bytes(32), coinbase_branch(OTHERS), 0, chain_branch, index,
        Header(0x20000000, bytes(32), bytes(32), 1, 2, 3),
    )  # fmt: skip
    return rebuilt(empty, script_sig)


@given(auxpows)
def test_auxpow_bytes_round_trip(auxpow: AuxPow) -> None:
    wire = auxpow.serialize()
    assert parse(wire) == auxpow
    with pytest.raises(MalformedError):
        parse(wire + b"\0")


@settings(max_examples=50)
@given(auxpows, st.data())
def test_auxpow_bytes_cut_short_are_malformed(auxpow: AuxPow, data: st.DataObject) -> None:
    wire = auxpow.serialize()
    with pytest.raises(MalformedError):
        parse(wire[: data.draw(st.integers(0, len(wire) - 1))])


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_auxpow_of_any_bytes_is_a_proof_or_malformed(data: bytes) -> None:
    try:
        auxpow = parse(data)
    except MalformedError:
        return
    assert check(auxpow, BLOCK_HASH, 1) != "ok"


def test_auxpow_reads_a_coinbase_with_witness_and_writes_it_stripped(auxpow: AuxPow) -> None:
    """Namecoin's wallet hands such proofs out; the txid is that of the stripped form."""
    coinbase = auxpow.coinbase
    with_witness = replace(coinbase, inputs=(replace(coinbase.inputs[0], witness=(bytes(32),)),))
    stripped = auxpow.serialize()
    wire = with_witness.serialize() + stripped[len(coinbase.serialize()) :]
    parsed = parse(wire)
    assert parsed.coinbase == with_witness
    assert check(parsed, BLOCK_HASH, 1) == "ok"
    assert parsed.serialize() == stripped


def test_auxpow_check_good(auxpow: AuxPow) -> None:
    assert check(auxpow, BLOCK_HASH, 1) == "ok"


def test_auxpow_check_without_inputs_has_its_word(auxpow: AuxPow) -> None:
    """Both readings of a zero input count: no outputs either, and one output."""
    for outputs in ((), (TxOut(1, b"\x51"),)):
        coinbase = Transaction(1, (), outputs)
        parent = replace(auxpow.parent, merkle_root=fold_branch(coinbase.txid, auxpow.branch))
        parsed = parse(replace(auxpow, coinbase=coinbase, parent=parent).serialize())
        assert parsed.coinbase == coinbase
        assert check(parsed, BLOCK_HASH, 1) == "coinbase has no inputs"


def test_auxpow_check_rules_in_their_order(auxpow: AuxPow) -> None:
    """Break everything, then mend one thing after another."""
    script = auxpow.coinbase.inputs[0].script_sig
    root_displayed = fold_branch(BLOCK_HASH, auxpow.chain_branch, auxpow.chain_index)[::-1]
    long_branch = (bytes(32),) * 31
    broken = replace(
        auxpow, index=1, parent=replace(auxpow.parent, version=0x00010000, merkle_root=bytes(32)),
        chain_branch=long_branch,
    )  # fmt: skip
    steps = [check(broken, BLOCK_HASH, 1, index_must_be_zero=True)]
    steps.append(check(broken, BLOCK_HASH, 1))
    broken = replace(broken, parent=replace(broken.parent, version=0x20000000))
    steps.append(check(broken, BLOCK_HASH, 1))
    broken = replace(broken, chain_branch=auxpow.chain_branch)
    steps.append(check(broken, BLOCK_HASH, 1))
    for script_sig in (
        MAGIC + bytes(32) + MAGIC,
        MAGIC + root_displayed + MAGIC,
        MAGIC + b"\0" + root_displayed,
        bytes(21) + root_displayed,
        MAGIC + root_displayed + struct.pack("<I", 4),
        MAGIC + root_displayed + struct.pack("<II", 8, 9),
        MAGIC + root_displayed + struct.pack("<II", 4, 9),
        script,
    ):
        broken = rebuilt(broken, script_sig)
        steps.append(check(broken, BLOCK_HASH, 1))
    assert steps == [
        "not a generation transaction",
        "parent has our chain id",
        "chain merkle branch too long",
        "merkle root incorrect",
        "missing chain merkle root in parent coinbase",
        "multiple merged mining headers in coinbase",
        "header is not just before chain merkle root",
        "root must start in the first 20 bytes",
        "missing size and nonce",
        "size does not match",
        "wrong index",
        "ok",
    ]


def test_auxpow_check_looks_at_the_first_input_only(auxpow: AuxPow) -> None:
    script = auxpow.coinbase.inputs[0].script_sig
    inputs = (TxIn(NULL_HASH, NULL_INDEX, b"ab"), TxIn(NULL_HASH, NULL_INDEX, script))
    coinbase = replace(auxpow.coinbase, inputs=inputs)
    parent = replace(auxpow.parent, merkle_root=fold_branch(coinbase.txid, auxpow.branch))
    moved = replace(auxpow, coinbase=coinbase, parent=parent)
    assert check(moved, BLOCK_HASH, 1) == "missing chain merkle root in parent coinbase"


def test_auxpow_check_index_minus_one_gives_the_null_root(auxpow: AuxPow) -> None:
    """CheckMerkleBranch returns zero for -1; a coinbase with 32 zero bytes gets past the root and no further."""
    odd = rebuilt(replace(auxpow, chain_index=-1), MAGIC + bytes(32) + struct.pack("<II", 4, 0))
    assert check(odd, BLOCK_HASH, 1) == "wrong index"


def test_auxpow_check_is_lenient_where_the_chain_is(auxpow: AuxPow) -> None:
    own = replace(auxpow, parent=replace(auxpow.parent, version=0x00010004), index=5)
    assert check(own, BLOCK_HASH, 1) == "parent has our chain id"
    assert check(own, BLOCK_HASH, 1, strict_chain_id=False) == "ok"


def test_auxpow_verify_adds_proof_of_work_and_the_version_flag(auxpow: AuxPow) -> None:
    for name, digest in (("sha256d", sha256d), ("scrypt", scrypt_1024)):
        reached = int.from_bytes(digest(auxpow.parent.serialize()), "little")
        assert verify(auxpow, BLOCK_HASH, 1, reached, name) == "ok"
        assert verify(auxpow, BLOCK_HASH, 1, reached - 1, name) == "high-hash"
    assert verify(auxpow, BLOCK_HASH, 2, 0) == "wrong index"
    flagged = replace(auxpow, parent=replace(auxpow.parent, version=0x20000100))
    assert check(flagged, BLOCK_HASH, 1) == "ok"
    assert verify(flagged, BLOCK_HASH, 1, 2**256 - 1) == "parent has auxpow version"


def test_auxpow_assemble_gives_each_chain_a_proof_that_checks() -> None:
    templates = [
        AuxTemplate(f"c{i}", sha256d(b"%d" % i), 1, 1, bytes(32), 0, "n", i) for i in (1, 16, 90, 1224, 8228, 4097)
    ]
    kind = AuxPowKind()
    commitment = kind.commit(templates)
    coinbase = coinbase_of(b"\x02\x10\x27" + commitment.script_sig + b"/parapool/")
    branch = coinbase_branch(OTHERS)
    header = Header(0x20000000, bytes(32), fold_branch(coinbase.txid, branch), 1, 2, 3).serialize()
    solved = SolvedHeader(header, coinbase.serialize(witness=False), branch)
    for template in templates:
        slot = commitment.slots[template.chain]
        assert isinstance(slot, AuxPowSlot)
        payload = kind.assemble(solved, template, slot)
        assert payload["hash"] == displayed(template.aux_hash)
        auxpow = parse(bytes.fromhex(payload["auxpow"]))
        assert auxpow.parent == parse_header(header)
        assert auxpow.parent_hash == sha256d(header)
        assert template.chain_id is not None
        assert check(auxpow, template.aux_hash, template.chain_id, index_must_be_zero=True) == "ok"
    assert build(header, solved.coinbase, branch, (), 0).index == 0
