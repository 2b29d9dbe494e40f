"""What `pool verify KIND FILE` says: exit codes and sentences."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pool.verify import MAX_FILE_BYTES, verify_file

VECTORS = Path(__file__).parents[2] / "vectors"
MM2 = json.loads((VECTORS / "mm2.json").read_text())
MM1 = json.loads((VECTORS / "mm1.json").read_text())
V2 = MM2["positive"][1]
CHAIN = V2["chains"][0]
PROOF = {
    "header_without_root": CHAIN["header_without_root"],
    "parent_sides": "00",
    "parent_branch": CHAIN["parent_branch"],
    "hash_link": CHAIN["hash_link"],
    "sides": CHAIN["sides_root_first"],
    "branch": CHAIN["branch_leaf_first"],
    "aux_hash": CHAIN["aux_hash"],
    "last_txout_nonce": V2["last_txout_nonce"],
}
QUESTION = {"context": CHAIN["context"], "target": V2["target"], "proof": PROOF}
WIRE = {
    "context": CHAIN["context"],
    "target": V2["target"],
    "wire": CHAIN["proof_wire_r10"],
    "aux_hash": CHAIN["aux_hash"],
}
GOOD_AUXPOW = next(v for v in MM1["tamper"] if v["case"] == "correct, with magic")
AUXPOW = {
    "chain_id": 1,
    "block_hash": GOOD_AUXPOW["block_hash_displayed"],
    "target": "f" * 64,
    "auxpow": GOOD_AUXPOW["auxpow"],
    "pow": "sha256d",
}
BOTH = pytest.mark.parametrize("kind", ["mm2", "auxpow"])


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "question.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def changed(question: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The question with one field replaced; `proof.hash_link.length` names a nested one, `...` removes it."""
    result = copy.deepcopy(question)
    *parents, last = path.split(".")
    record = result
    for parent in parents:
        record = record[parent]
    if value is ...:
        del record[last]
    else:
        record[last] = value
    return result


def test_verify_mm2_ok_in_both_forms(written: Callable[[Any], Path]) -> None:
    assert verify_file("mm2", written(QUESTION)) == (0, "ok")
    assert verify_file("mm2", written(WIRE)) == (0, "ok")
    assert verify_file("mm2", str(written(WIRE))) == (0, "ok")


def test_verify_mm2_accepts_upper_case_hex_and_other_keys(written: Callable[[Any], Path]) -> None:
    upper = {key: value.upper() for key, value in WIRE.items()}
    assert verify_file("mm2", written(upper | {"name": "V2", "verify": "ok", "pow": "sha256d"})) == (0, "ok")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("proof.header_without_root", "00" * 47, "malformed-proof"),
        ("proof.header_without_root", "", "malformed-proof"),
        ("proof.aux_hash", "00" * 31, "malformed-proof"),
        ("proof.hash_link.state", "00" * 33, "malformed-proof"),
        ("proof.hash_link.length", -1, "malformed-proof"),
        ("proof.hash_link.length", 10**400, "malformed-proof"),
        ("proof.sides", "01x1", "malformed-proof"),
        ("proof.sides", "\ud800111", "malformed-proof"),
        ("proof.parent_sides", "0 ", "malformed-proof"),
        ("proof.branch", ["00"] * 4, "malformed-proof"),
        ("proof.parent_branch", ["00" * 32, "00" * 31], "malformed-proof"),
        ("proof.sides", "011", "side-count"),
        ("proof.branch", [], "side-count"),
        ("proof.parent_sides", "000", "not-generation-transaction"),
        ("proof.sides", "1111", "side-bits-not-prefix"),
        ("proof.last_txout_nonce", "deadbeef", "last-txout-nonce-length"),
        ("proof.hash_link.extra", "", "hash-link-extra"),
        ("proof.hash_link.length", 144, "hash-link-extra"),
        ("proof.hash_link.length", 17, "hash-link-length"),
        ("proof.hash_link.length", 2**63 + 17, "hash-link-length"),
        ("proof.hash_link.extra", "00" * 17, "hash-link-ending"),
        ("proof.parent_sides", "01", "not-generation-transaction"),
        ("proof.hash_link.length", 145 + 64, "high-hash"),
        ("target", "0" * 64, "high-hash"),
        ("context", "0" * 64, "side-bits-not-prefix"),
    ],
)
def test_verify_mm2_reasons(written: Callable[[Any], Path], path: str, value: Any, reason: str) -> None:
    assert verify_file("mm2", written(changed(QUESTION, path, value))) == (1, reason)


@pytest.mark.parametrize(
    ("value", "reason"), [("", "malformed-proof"), (CHAIN["proof_wire_r10"] + "00", "malformed-proof")]
)
def test_verify_mm2_wire_that_is_no_proof(written: Callable[[Any], Path], value: str, reason: str) -> None:
    assert verify_file("mm2", written(changed(WIRE, "wire", value))) == (1, reason)
    assert verify_file("mm2", written(changed(WIRE, "aux_hash", "00"))) == (1, "malformed-proof")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("context", ..., "context: missing"),
        ("context", "00" * 31, "context: expected 64 hex digits, got text of 62 characters"),
        ("context", None, "context: expected 64 hex digits, got null"),
        ("target", "f" * 63, "target: expected 64 hex digits"),
        ("target", 5, "target: expected 64 hex digits, got an integer"),
        ("proof", ..., 'expected either "proof" or "wire"'),
        ("proof", None, "proof: expected an object, got null"),
        ("proof", [], "proof: expected an object, got a list"),
        ("wire", "00", 'expected either "proof" or "wire"'),
        ("pow", "md5", "pow: expected sha256d or scrypt"),
        ("pow", ["scrypt"], "pow: expected text, got a list"),
        ("proof.header_without_root", ..., "header_without_root: missing"),
        ("proof.header_without_root", "0" * 95, "header_without_root: expected hex digits"),
        ("proof.aux_hash", "0x" + "0" * 62, "aux_hash: expected hex digits"),
        ("proof.aux_hash", "\ud800", "aux_hash: expected hex digits"),
        ("proof.last_txout_nonce", "de ad", "last_txout_nonce: expected hex digits"),
        ("proof.sides", 111, "sides: expected text, got an integer"),
        ("proof.sides", [0, 1], "sides: expected text, got a list"),
        ("proof.parent_sides", ..., "parent_sides: missing"),
        ("proof.branch", "00", "branch: expected a list of hex digits"),
        ("proof.branch", [1], "branch: expected a list of hex digits"),
        ("proof.parent_branch", ..., "parent_branch: expected a list"),
        ("proof.hash_link", ..., "hash_link: expected an object, got null"),
        ("proof.hash_link.length", True, "hash_link.length: expected an integer"),
        ("proof.hash_link.length", 145.0, "hash_link.length: expected an integer"),
        ("proof.hash_link.length", "145", "hash_link.length: expected an integer"),
        ("proof.hash_link.extra", None, "extra: expected hex digits, got null"),
    ],
)
def test_verify_mm2_wrong_use(written: Callable[[Any], Path], path: str, value: Any, words: str) -> None:
    code, text = verify_file("mm2", written(changed(QUESTION, path, value)))
    assert code == 2
    assert words in text
    text.encode("ascii")


def test_verify_mm2_wire_wrong_use(written: Callable[[Any], Path]) -> None:
    for path, value in (("wire", "zz"), ("wire", 5), ("aux_hash", ...), ("aux_hash", "0")):
        assert verify_file("mm2", written(changed(WIRE, path, value)))[0] == 2


def test_verify_auxpow_answers(written: Callable[[Any], Path]) -> None:
    assert verify_file("auxpow", written(AUXPOW)) == (0, "ok")
    assert verify_file("auxpow", written(changed(AUXPOW, "pow", "scrypt"))) == (0, "ok")
    assert verify_file("auxpow", written(changed(AUXPOW, "target", "0" * 64))) == (1, "high-hash")
    assert verify_file("auxpow", written(changed(AUXPOW, "chain_id", 2))) == (1, "wrong index")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("chain_id", ..., "chain_id: missing"),
        ("chain_id", "1", "chain_id: expected an integer"),
        ("chain_id", True, "chain_id: expected an integer, got a boolean"),
        ("chain_id", 1e400, "not JSON"),
        ("chain_id", 1.5, "chain_id: expected an integer, got a number with a fraction"),
        ("chain_id", -1, "chain_id: expected 0 to"),
        ("block_hash", "00", "block_hash: expected 64 hex digits"),
        ("target", "", "target: expected 64 hex digits"),
        ("pow", ..., "pow: missing"),
        ("pow", "SHA256D", "pow: expected sha256d or scrypt"),
        ("auxpow", "0", "auxpow: expected hex digits"),
        ("auxpow", "", "auxpow: cannot be decoded: end of data"),
        ("auxpow", GOOD_AUXPOW["auxpow"] + "00", "auxpow: cannot be decoded: 1 bytes after the end"),
        ("auxpow", {"tx": 1}, "auxpow: expected hex digits, got an object"),
    ],
)
def test_verify_auxpow_wrong_use(written: Callable[[Any], Path], path: str, value: Any, words: str) -> None:
    code, text = verify_file("auxpow", written(changed(AUXPOW, path, value)))
    assert code == 2
    assert words in text


@BOTH
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"not json\n", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"context": "\xed\xa0\x80"}', "not UTF-8"),
        (b"[1, 2]", "expected an object, got a list"),
        (b"null", "expected an object, got null"),
        (b'"text"', "expected an object"),
        (b"NaN", "NaN is no number"),
        (b'{"context": Infinity}', "Infinity is no number"),
        (b'{"context": 1, "context": 2}', "a key twice"),
        (b"[" * 200_000, "not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"chain_id": ' + b"9" * 10_000 + b"}", "a number is too large"),
        (b" " * (MAX_FILE_BYTES + 1), "larger than"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_verify_malformed_file(kind: str, written: Callable[[Any], Path], content: bytes, words: str) -> None:
    code, text = verify_file(kind, written(content))
    assert code == 2
    assert words in text
    assert "\n" not in text


@BOTH
def test_verify_what_cannot_be_read(kind: str, tmp_path: Path) -> None:
    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "absent", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("\0"), "null byte"),
        (tmp_path / os.fsdecode(b"\xff"), "No such file"),
    ):
        code, text = verify_file(kind, path)
        assert code == 2
        assert words in text
        text.encode("ascii")
