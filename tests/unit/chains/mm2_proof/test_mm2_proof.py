"""Building, reading and refusing MM2 proofs; among them the attacks on PoW uniqueness."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mm2_parents import NONCE, TARGET, Parent, coinbase_head, coinbase_of, mine, parent_of

from chains.mm2.datum import child_block_hash, child_datum
from chains.mm2_proof.hash_link import HashLink, link_of, resume
from chains.mm2_proof.proof import Proof, build_proof, parent_hash, parse, serialize, verify, verify_wire
from chains.mm2_proof.tree import MerkleLink, Tree, build_tree, context_of, leaf_of, path_bits
from chains.primitives.hashes import scrypt_1024, sha256d
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import MalformedError
from chains.primitives.sha256_midstate import EMPTY

NAMECOIN, CHAIN_A, CHAIN_B = (context_of(name) for name in ("namecoin", "chain-a", "chain-b"))
DATA = {NAMECOIN: sha256d(b"n"), CHAIN_A: sha256d(b"a"), CHAIN_B: sha256d(b"b")}
OTHERS = (sha256d(b"t1"), sha256d(b"t2"), sha256d(b"t3"))


def proof_of(parent: Parent, context: bytes = NAMECOIN) -> Proof:
    return build_proof(parent.header, parent.coinbase, parent.branch, parent.tree.links[context], DATA[context])


@pytest.fixture(scope="module")
def parent() -> Parent:
    return parent_of(DATA, OTHERS)


@pytest.fixture(scope="module")
def proof(parent: Parent) -> Proof:
    return proof_of(parent)


def test_mm2_proof_verifies_for_every_chain_in_both_forms(parent: Parent) -> None:
    for context, aux_hash in DATA.items():
        proof = proof_of(parent, context)
        wire = serialize(proof)
        assert verify(proof, context, TARGET) == "ok"
        assert parse(wire, context, aux_hash) == proof
        assert verify_wire(wire, aux_hash, context, TARGET) == "ok"


def test_mm2_proof_target_is_met_by_equality(proof: Proof) -> None:
    reached = int.from_bytes(parent_hash(proof), "little")
    assert verify(proof, NAMECOIN, reached) == "ok"
    assert verify(proof, NAMECOIN, reached - 1) == "high-hash"


def test_mm2_proof_of_a_scrypt_parent_differs_in_the_last_step_only(parent: Parent, proof: Proof) -> None:
    assert parent_hash(proof, "scrypt") == scrypt_1024(parent.header)
    reached = int.from_bytes(scrypt_1024(parent.header), "little")
    assert verify(proof, NAMECOIN, reached, "scrypt") == "ok"
    assert verify(proof, NAMECOIN, reached - 1, "scrypt") == "high-hash"


@pytest.mark.parametrize("script_sig_size", range(2, 67))
def test_mm2_proof_with_any_number_of_unprocessed_bytes(script_sig_size: int) -> None:
    """All 64 remainders (V4 of the protocol notes has seven of them)."""
    tree = build_tree(DATA)
    proof = proof_of(mine(coinbase_of(tree.root, bytes(script_sig_size)), tree, target=2**256 - 1))
    assert proof.hash_link.length == 58 + script_sig_size
    assert len(proof.hash_link.extra) == proof.hash_link.length % 64
    assert verify(proof, NAMECOIN, 2**256 - 1) == "ok"
    assert parse(serialize(proof), NAMECOIN, DATA[NAMECOIN]) == proof


def flipped(sides: str, at: int) -> str:
    return sides[:at] + "10"[int(sides[at])] + sides[at + 1 :]


def test_mm2_proof_altered_is_refused_with_its_reason(proof: Proof) -> None:
    link = proof.hash_link
    cases: dict[str, list[Proof]] = {
        "malformed-proof": [
            replace(proof, header_without_root=proof.header_without_root[:-1]),
            replace(proof, header_without_root=proof.header_without_root + b"\0"),
            replace(proof, aux_hash=proof.aux_hash[:31]),
            replace(proof, branch=(b"", *proof.branch[1:])),
            replace(proof, parent_branch=(*proof.parent_branch[:-1], bytes(33))),
            replace(proof, hash_link=replace(link, state=link.state[:-1])),
            replace(proof, hash_link=replace(link, length=-1)),
            replace(proof, hash_link=replace(link, length=2**64)),
            replace(proof, sides="012"),
            replace(proof, sides="٠١"),  # digits, but not the two
            replace(proof, parent_sides="l0"),
        ],
        "side-count": [
            replace(proof, sides=proof.sides + "1"),
            replace(proof, sides=proof.sides[:-1]),
            replace(proof, branch=()),
            replace(proof, branch=(bytes(32),) * 257, sides=path_bits(NAMECOIN) + "0"),
        ],
        "side-bits-not-prefix": [
            replace(proof, sides=flipped(proof.sides, 0)),  # N1
            replace(proof, sides=flipped(proof.sides, len(proof.sides) - 1)),
        ],
        "last-txout-nonce-length": [
            replace(proof, last_txout_nonce=NONCE[:4]),  # N4
            replace(proof, last_txout_nonce=NONCE + b"\0"),
            replace(proof, last_txout_nonce=b""),
        ],
        "hash-link-extra": [
            replace(proof, hash_link=replace(link, extra=link.extra[:-1])),  # N7
            replace(proof, hash_link=replace(link, extra=link.extra + b"\0")),
            replace(proof, hash_link=replace(link, length=link.length + 1)),
        ],
        "hash-link-length": [
            replace(proof, hash_link=HashLink(link.state, 59, bytes(56) + b"\x2a\x6a\x28")),
            replace(proof, hash_link=HashLink(link.state, 0, b"")),
            replace(proof, hash_link=HashLink(link.state, 2**61, b"")),
        ],
        "hash-link-ending": [
            replace(proof, hash_link=replace(link, extra=link.extra[:-1] + b"\x29")),
            replace(proof, hash_link=replace(link, extra=link.extra[:-3] + b"\x2b" + link.extra[-2:])),
        ],
        "not-generation-transaction": [
            replace(proof, parent_sides="10"),  # N9
            replace(proof, parent_sides="01"),
            replace(proof, parent_sides="0"),
            replace(proof, parent_sides="000"),
            replace(proof, parent_branch=(bytes(32),) * 33, parent_sides="0" * 33),
        ],
        "high-hash": [
            replace(proof, last_txout_nonce=NONCE[:-1] + b"\2"),  # N3
            replace(proof, aux_hash=sha256d(b"other")),  # N5
            replace(proof, hash_link=replace(link, length=link.length + 64)),  # N8
            replace(proof, branch=proof.branch[::-1]),  # N10
            replace(proof, hash_link=replace(link, state=bytes(32))),
        ],
    }
    for reason, altered in cases.items():
        for number, case in enumerate(altered):
            assert verify(case, NAMECOIN, TARGET) == reason, (reason, number)


def test_mm2_proof_for_another_context_is_refused(proof: Proof) -> None:
    """N2."""
    assert verify(proof, CHAIN_B, TARGET) == "side-bits-not-prefix"
    with pytest.raises(ValueError, match="32 bytes"):
        verify(proof, NAMECOIN[:31], TARGET)


def test_mm2_proof_reasons_in_their_order(proof: Proof) -> None:
    """Break everything, then mend one thing after another: each reason appears in the order of the issue."""
    link = proof.hash_link
    wrong_extra = HashLink(link.state, 59, bytes(58))
    broken = replace(
        proof,
        header_without_root=b"",
        sides="1" + proof.sides,
        last_txout_nonce=b"",
        hash_link=wrong_extra,
        parent_sides="11",
    )
    mendings = [
        {"header_without_root": proof.header_without_root},
        {"sides": "1" + proof.sides[1:]},
        {"sides": proof.sides},
        {"last_txout_nonce": NONCE},
        {"hash_link": replace(wrong_extra, extra=bytes(59))},
        {"hash_link": HashLink(link.state, 60, bytes(60))},
        {"hash_link": HashLink(link.state, 60, bytes(57) + b"\x2a\x6a\x28")},
        {"parent_sides": "00"},
        {"hash_link": link},
    ]
    reasons = [verify(broken, NAMECOIN, TARGET)]
    for mending in mendings:
        broken = replace(broken, **mending)  # type: ignore[arg-type]
        reasons.append(verify(broken, NAMECOIN, TARGET))
    assert reasons == [
        "malformed-proof", "side-count", "side-bits-not-prefix", "last-txout-nonce-length", "hash-link-extra",
        "hash-link-length", "hash-link-ending", "not-generation-transaction", "high-hash", "ok",
    ]  # fmt: skip


def test_mm2_proof_with_32_parent_levels_is_good() -> None:
    tree = build_tree(DATA)
    coinbase = coinbase_of(tree.root)
    branch = tuple(sha256d(bytes((i,))) for i in range(32))
    header = bytes(36) + fold_branch(sha256d(coinbase), branch) + bytes(12)
    proof = build_proof(header, coinbase, branch, tree.links[NAMECOIN], DATA[NAMECOIN])
    assert verify(proof, NAMECOIN, 2**256 - 1) == "ok"


def test_mm2_proof_deeper_than_minimal_with_any_siblings_is_good() -> None:
    """R6: verifiers accept any sibling and any depth; filler may hide the number of chains."""
    branch = tuple(sha256d(bytes((i,))) for i in range(256))
    link = MerkleLink(path_bits(NAMECOIN), branch)
    root = fold_branch(leaf_of(DATA[NAMECOIN]), branch, int(link.sides, 2))
    tree = Tree(root, {NAMECOIN: link})
    proof = proof_of(mine(coinbase_of(root), tree))
    assert verify(proof, NAMECOIN, TARGET) == "ok"
    assert verify_wire(serialize(proof), DATA[NAMECOIN], NAMECOIN, TARGET) == "ok"


# Attacks. Each parent meets the target, so that only the rule under test can refuse.


def test_mm2_uniqueness_an_inner_node_is_no_leaf() -> None:
    """N13: two data, one context, one proof of work. The attacker's tree has the two children of an inner node as the
    64-byte datum; without the leaf tag (the draft's literal pseudocode) both would verify."""
    data = [sha256d(b"first"), sha256d(b"second")]
    left, right = (leaf_of(d) for d in data)
    inner = sha256d(left + right)
    tree = Tree(inner, {NAMECOIN: MerkleLink("0", (right,))})
    parent = mine(coinbase_of(inner), tree)
    honest = build_proof(parent.header, parent.coinbase, parent.branch, tree.links[NAMECOIN], data[0])
    assert verify(honest, NAMECOIN, TARGET) == "ok"
    forged_datum = left + right
    assert sha256d(forged_datum) == inner  # what an untagged leaf would be
    forged = replace(honest, sides="", branch=(), aux_hash=sha256d(forged_datum))
    assert verify(forged, NAMECOIN, TARGET) == "high-hash"
    with pytest.raises(ValueError, match="does not end with an MM2 output of this tree"):
        build_proof(parent.header, parent.coinbase, parent.branch, MerkleLink("", ()), sha256d(forged_datum))


def test_mm2_uniqueness_sides_are_compared_root_first() -> None:
    """N14: the context 01…, two data in a tree of depth 2. Read root first one place is allowed; a leaf-first reading
    would also allow the mirrored place."""
    assert path_bits(NAMECOIN).startswith("01")
    data = [sha256d(b"first"), sha256d(b"second")]
    leaves = {"01": leaf_of(data[0]), "10": leaf_of(data[1])}
    left = sha256d(bytes(32) + leaves["01"])
    right = sha256d(leaves["10"] + bytes(32))
    links = {"01": MerkleLink("01", (bytes(32), right)), "10": MerkleLink("10", (bytes(32), left))}
    tree = Tree(sha256d(left + right), {})
    parent = mine(coinbase_of(tree.root), tree)
    first, second = (
        build_proof(parent.header, parent.coinbase, parent.branch, links[sides], datum)
        for sides, datum in zip(("01", "10"), data, strict=True)
    )
    assert verify(first, NAMECOIN, TARGET) == "ok"
    assert verify(second, NAMECOIN, TARGET) == "side-bits-not-prefix"
    # listed the other way round the sides are a prefix, but lead elsewhere
    assert verify(replace(second, sides="01"), NAMECOIN, TARGET) == "high-hash"
    # and on the wire there are no sides to lie about
    assert verify_wire(serialize(second), data[1], NAMECOIN, TARGET) == "high-hash"


def test_mm2_uniqueness_another_transaction_is_refused() -> None:
    """R7: an ordinary transaction that ends like a coinbase, at place 1 of the parent."""
    tree = build_tree(DATA)
    other = b"\x02" + coinbase_of(tree.root)[1:]
    coinbase = sha256d(b"the real coinbase")
    root = sha256d(coinbase + sha256d(other))
    header = bytes(36) + root + bytes(12)
    forged = build_proof(header, other, (coinbase,), tree.links[NAMECOIN], DATA[NAMECOIN])
    assert verify(replace(forged, parent_sides="1"), NAMECOIN, 2**256 - 1) == "not-generation-transaction"
    assert verify(forged, NAMECOIN, TARGET) == "high-hash"


def test_mm2_proof_of_a_lock_time_other_than_0_fails() -> None:
    """N15, the conflict with BIP54 (R12)."""
    tree = build_tree(DATA)
    parent = mine(coinbase_of(tree.root, lock_time=99_999), tree)
    with pytest.raises(ValueError, match="lock time 0"):
        proof_of(parent)
    zero = proof_of(replace(parent, coinbase=coinbase_of(tree.root)))
    assert verify(zero, NAMECOIN, TARGET) == "high-hash"


def test_mm2_proof_of_an_output_that_is_not_the_last_fails() -> None:
    """N16: the linked prefix ends as it should, but an output follows."""
    tree = build_tree(DATA)
    last = coinbase_of(tree.root)
    payout = (5000).to_bytes(8, "little") + b"\x16\x00\x14" + bytes(20)
    prefix = last[:-44].replace(b"\xff\xff\xff\xff\x01", b"\xff\xff\xff\xff\x02")
    coinbase = prefix + last[-44:-4] + payout + bytes(4)
    parent = mine(coinbase, tree)
    with pytest.raises(ValueError, match="does not end with an MM2 output"):
        proof_of(parent)
    forged = replace(proof_of(replace(parent, coinbase=last)), hash_link=link_of(prefix))
    assert verify(forged, NAMECOIN, TARGET) == "high-hash"


def test_mm2_proof_over_bip144_bytes_fails() -> None:
    """N17: linking the serialisation with marker, flag and witness."""
    tree = build_tree(DATA)
    stripped = coinbase_of(tree.root)
    parent = mine(stripped, tree)
    with_marker = stripped[:4] + b"\0\1" + stripped[4:-44]
    forged = replace(proof_of(parent), hash_link=link_of(with_marker))
    assert verify(forged, NAMECOIN, TARGET) == "high-hash"


def test_mm2_proof_with_one_chain_is_valid_in_every_context() -> None:
    """R11: depth 0. What stops a replay on another chain is the datum, which names its chain."""
    header = bytes(range(80))
    assert child_datum(CHAIN_A, header) == CHAIN_A + header
    aux_hash = child_block_hash(CHAIN_A, header)
    assert aux_hash == sha256d(CHAIN_A + header) != child_block_hash(CHAIN_B, header)
    parent = parent_of({CHAIN_A: aux_hash})
    proof = build_proof(parent.header, parent.coinbase, parent.branch, parent.tree.links[CHAIN_A], aux_hash)
    assert verify(proof, CHAIN_A, TARGET) == verify(proof, CHAIN_B, TARGET) == "ok"
    replayed = verify_wire(serialize(proof), child_block_hash(CHAIN_B, header), CHAIN_B, TARGET)
    assert replayed == "high-hash"
    with pytest.raises(ValueError, match="80 bytes"):
        child_datum(CHAIN_A, header[:-1])


@settings(max_examples=40)
@given(st.binary(max_size=300), st.binary(max_size=100))
def test_mm2_hash_link_resumes_to_the_whole_hash(prefix: bytes, tail: bytes) -> None:
    link = link_of(prefix)
    assert resume(link, tail) == sha256d(prefix + tail)
    assert len(link.extra) == len(prefix) % 64
    assert prefix.endswith(link.extra)
    assert (link.state == EMPTY.state) == (len(prefix) < 64)


def test_mm2_wire_cut_short_or_longer_is_malformed(proof: Proof) -> None:
    wire = serialize(proof)
    for size in range(len(wire)):
        with pytest.raises(MalformedError):
            parse(wire[:size], NAMECOIN, DATA[NAMECOIN])
        assert verify_wire(wire[:size], DATA[NAMECOIN], NAMECOIN, TARGET) == "malformed-proof"
    assert verify_wire(wire + b"\0", DATA[NAMECOIN], NAMECOIN, TARGET) == "malformed-proof"


def test_mm2_wire_sizes_of_the_protocol(proof: Proof) -> None:
    """R10: 48 ‖ VarInt ‖ branch ‖ state ‖ VarInt ‖ extra ‖ VarInt ‖ branch ‖ 8."""
    assert len(serialize(proof)) == 48 + 1 + 64 + 32 + 1 + len(proof.hash_link.extra) + 1 + 32 * len(proof.branch) + 8


def test_mm2_wire_with_too_many_levels_has_a_reason(proof: Proof) -> None:
    deep = serialize(replace(proof, branch=(bytes(32),) * 257))
    assert verify_wire(deep, DATA[NAMECOIN], NAMECOIN, TARGET) == "side-count"
    tall = serialize(replace(proof, parent_branch=(bytes(32),) * 33))
    assert verify_wire(tall, DATA[NAMECOIN], NAMECOIN, TARGET) == "not-generation-transaction"


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_mm2_wire_of_any_bytes_is_a_proof_or_malformed(wire: bytes) -> None:
    assert verify_wire(wire, bytes(32), NAMECOIN, 0) in ("malformed-proof", "hash-link-length", "hash-link-ending")


def test_mm2_wire_every_flipped_bit_is_refused(proof: Proof) -> None:
    """No malleability: a flipped bit anywhere gives another parent header. 300 bits at random, seeded."""
    wire = serialize(proof)
    chance = random.Random(7)
    for _ in range(300):
        at = chance.randrange(len(wire) * 8)
        altered = bytearray(wire)
        altered[at // 8] ^= 1 << at % 8
        assert verify_wire(bytes(altered), DATA[NAMECOIN], NAMECOIN, TARGET) != "ok", at


def test_mm2_build_refuses_a_coinbase_of_another_tree_or_without_mm2() -> None:
    tree = build_tree(DATA)
    link = tree.links[NAMECOIN]
    cut = coinbase_of(tree.root)[1:-1]
    for coinbase in (coinbase_of(bytes(32)), coinbase_head(b"\x51\x00", 1) + bytes(44), b"", cut):
        with pytest.raises(ValueError, match="does not end with an MM2 output"):
            build_proof(bytes(80), coinbase, (), link, DATA[NAMECOIN])
