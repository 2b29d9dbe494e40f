from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from coincurve import PublicKeyXOnly
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.signer.keys import KeyFileError, create_key, read_key
from chains.signer.promises import HEADER_BYTES, PromisesError
from chains.signer.signer import AlreadyPromisedError, Signer, create_signer, open_signer, slot_id

ONE, TWO = b"\x01" * 32, b"\x02" * 32


def paths(folder: Path) -> tuple[Path, Path]:
    return folder / "key", folder / "promises"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return create_signer(*paths(tmp_path))


def reopen(signer: Signer, tmp_path: Path) -> Signer:
    signer.close()
    return Signer(*paths(tmp_path))


def test_signer_one_digest_a_slot_also_after_a_restart(signer: Signer, tmp_path: Path) -> None:
    signature = signer.sign("bk", b"slot", ONE)
    assert PublicKeyXOnly(signer.public_key).verify(signature, ONE)
    assert signer.sign("bk", b"slot", ONE) == signature
    for _ in range(2):
        with pytest.raises(AlreadyPromisedError) as caught:
            signer.sign("bk", b"slot", TWO)
        assert caught.value.promised == ONE
        assert signer.sign("bk", b"slot", ONE) == signature
        signer = reopen(signer, tmp_path)
    assert len(signer) == 1


def test_signer_purposes_and_slots_are_apart(signer: Signer) -> None:
    signer.sign("bk", b"slot", ONE)
    signer.sign("bk", b"slot2", TWO)
    signer.sign("bks", b"lot", TWO)
    signer.sign("b", b"kslot", TWO)
    assert len(signer) == 4
    assert signer.promised("bk", b"slot") == ONE and signer.promised("bk", b"none") is None


SLOTS = st.tuples(st.text(min_size=1, max_size=8), st.binary(max_size=8))


@settings(max_examples=30)
@given(SLOTS, SLOTS)
def test_signer_slot_ids_are_distinct(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    assert (slot_id(*one) == slot_id(*other)) == (one == other)


@pytest.mark.parametrize(
    ("purpose", "slot", "digest"), [("", b"", ONE), ("x" * 65, b"", ONE), ("x", bytes(257), ONE), ("x", b"", b"1")]
)
def test_signer_wrong_lengths_promise_nothing(signer: Signer, purpose: str, slot: bytes, digest: bytes) -> None:
    with pytest.raises(ValueError):
        signer.sign(purpose, slot, digest)
    assert len(signer) == 0


def test_signer_is_held_by_one_process(signer: Signer, tmp_path: Path) -> None:
    with pytest.raises(PromisesError, match="in use by another signer"):
        Signer(*paths(tmp_path))


def test_signer_missing_promises_are_not_made_new(signer: Signer, tmp_path: Path) -> None:
    signer.close()
    paths(tmp_path)[1].unlink()
    for opening in (Signer, open_signer):
        with pytest.raises(PromisesError, match="is missing"):
            opening(*paths(tmp_path))
    paths(tmp_path)[0].unlink()
    open_signer(*paths(tmp_path)).close()
    paths(tmp_path)[0].unlink()
    with pytest.raises(PromisesError, match="there already"):
        create_signer(*paths(tmp_path))


def test_signer_promises_of_another_key_are_refused(signer: Signer, tmp_path: Path) -> None:
    signer.close()
    paths(tmp_path)[0].unlink()
    create_key(paths(tmp_path)[0])
    with pytest.raises(PromisesError, match="another key"):
        Signer(*paths(tmp_path))


def test_signer_half_a_record_is_cut_off(signer: Signer, tmp_path: Path) -> None:
    signer.sign("bk", b"1", ONE)
    signer.sign("bk", b"2", ONE)
    path = paths(tmp_path)[1]
    os.truncate(path, path.stat().st_size - 1)
    signer = reopen(signer, tmp_path)
    assert (signer.promised("bk", b"1"), signer.promised("bk", b"2")) == (ONE, None)
    signer.sign("bk", b"2", TWO)
    assert reopen(signer, tmp_path).promised("bk", b"2") == TWO


@pytest.mark.parametrize("at", [0, 20, HEADER_BYTES, HEADER_BYTES + 40, HEADER_BYTES + 67, HEADER_BYTES + 68 + 5])
def test_signer_damage_anywhere_else_refuses_the_file(signer: Signer, tmp_path: Path, at: int) -> None:
    for number in range(3):
        signer.sign("bk", b"%d" % number, ONE)
    path = paths(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(PromisesError):
        reopen(signer, tmp_path)


def test_signer_that_cannot_write_signs_nothing_more(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = signer.sign("bk", b"0", ONE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PromisesError, match="No space"):
            signer.sign("bk", b"1", ONE)
    with pytest.raises(PromisesError, match="open it again"):
        signer.sign("bk", b"1", TWO)
    assert signer.sign("bk", b"0", ONE) == signature


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_signer_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    secret = create_key(path)
    assert read_key(path) == secret and path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode 0{mode:o}") as caught:
        read_key(path)
    assert secret.hex() not in str(caught.value)


@pytest.mark.parametrize("text", ["", "00" * 32, "ff" * 32, "zz" * 32, "01" * 31, "01" * 33])
def test_signer_key_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(KeyFileError, match="expected 64 hex digits"):
        read_key(path)
    with pytest.raises(KeyFileError, match="File exists"):
        create_key(path)
    with pytest.raises(KeyFileError, match="No such file"):
        read_key(tmp_path / "none")


SIGNING = """
import sys, hashlib, random
from pathlib import Path
from chains.signer.signer import open_signer
signer = open_signer(Path(sys.argv[1]), Path(sys.argv[2]))
chance = random.Random()
while True:  # two digests race for each slot; whatever is printed was promised
    slot = b"%d" % len(signer)
    digest = hashlib.sha256(b"%d" % chance.getrandbits(1)).digest()
    print(slot.decode(), digest.hex(), signer.sign("bk", slot, digest).hex(), flush=True)
"""


def test_signer_killed_at_any_moment_never_signs_twice(tmp_path: Path) -> None:
    """kill -9 of a real process, again and again: each slot has one digest in everything that was ever answered."""
    answered: dict[str, str] = {}
    for round_number in range(4):
        arguments = [sys.executable, "-c", SIGNING, *map(str, paths(tmp_path))]
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.02 * (round_number + 1))
        child.send_signal(signal.SIGKILL)
        lines = [line.split() for line in child.stdout.read().splitlines()]
        child.wait()
        for slot, digest, *signature in (line for line in lines if len(line) == 3):
            assert signature and answered.setdefault(slot, digest) == digest
    signer = Signer(*paths(tmp_path))
    assert len(answered) > 4
    for slot, digest_hex in answered.items():
        assert signer.promised("bk", slot.encode()) == bytes.fromhex(digest_hex)
        with pytest.raises(AlreadyPromisedError):
            signer.sign("bk", slot.encode(), ONE)
