"""Headers and searches against Bitcoin's genesis block and recorded scrypt work."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tiny_pool import GENESIS_HASH_HEX, GENESIS_NONCE, GENESIS_NOTIFY, GENESIS_TIME, header_of

from pool.mining_client.search import MOST_FOUND, NONCES, search_scrypt, search_sha256d
from pool.mining_client.work import Job, WorkError, header_for, parse_notify, spread_bits

MASK = 0x1FFFE000


def job_of(params: Any, mask: int = 0, difficulty: float = 1.0) -> Job:
    return parse_notify(params, difficulty=difficulty, extranonce1=bytes(4), extranonce2_size=4, version_mask=mask)


def changed(place: int, value: Any) -> list[Any]:
    return [*GENESIS_NOTIFY[:place], value, *GENESIS_NOTIFY[place + 1 :]]


def test_mining_work_makes_the_genesis_header() -> None:
    job = job_of(GENESIS_NOTIFY)
    header = header_for(job, bytes(4), bytes(4), GENESIS_TIME, GENESIS_NONCE)
    digest = hashlib.sha256(hashlib.sha256(header).digest()).digest()
    assert digest[::-1].hex() == GENESIS_HASH_HEX
    assert int.from_bytes(digest, "little") <= job.block_target() == job.share_target()


def test_mining_work_reads_the_previous_hash_in_swapped_words() -> None:
    swapped = "0a8ce26f72b3f1b646a2a6c14ff763ae65831e939c085ae10019d66800000000"
    assert job_of(changed(1, swapped)).previous_hash[::-1].hex() == GENESIS_HASH_HEX


def test_mining_work_folds_the_branch_and_rolls_the_version_as_the_protocol_says() -> None:
    notify = changed(4, ["11" * 32, "22" * 32])
    notify[5] = "20000000"
    submit = ["u", "j", "01020304", "5f000001", "00c0ffee", "1fffe000"]
    expected = header_of(notify, b"\xaa\xbb\xcc\xdd", submit, MASK)
    job = job_of(notify, MASK)
    extranonce2 = bytes.fromhex("01020304")
    assert header_for(job, b"\xaa\xbb\xcc\xdd", extranonce2, 0x5F000001, 0x00C0FFEE, 0x1FFFE000) == expected
    assert expected[:4].hex() == "00e0ff3f"
    unrolled = header_for(job, b"\xaa\xbb\xcc\xdd", extranonce2, 0x5F000001, 0x00C0FFEE)
    assert unrolled[:4].hex() == "00000020"
    outside = header_for(job, b"\xaa\xbb\xcc\xdd", extranonce2, 0x5F000001, 0x00C0FFEE, 0xFFFFFFFF)
    assert outside == expected


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        (GENESIS_NOTIFY[:8], "nine parameters"),
        ("genesis", "nine parameters"),
        (changed(0, 5), "job id"),
        (changed(1, "00" * 31), "prevhash"),
        (changed(1, None), "prevhash"),
        (changed(2, "zz"), "coinb1"),
        (changed(3, "0"), "coinb2"),
        (changed(4, "no list"), "branch"),
        (changed(4, ["00" * 33]), "branch"),
        (changed(4, ["00" * 32] * 33), "branch"),
        (changed(5, "1"), "version"),
        (changed(6, 486604799), "nbits"),
        (changed(7, " 495fab29"), "ntime"),
        (changed(8, 1), "clean_jobs"),
    ],
)
def test_mining_work_refuses_a_notify_that_is_none(params: Any, reason: str) -> None:
    with pytest.raises(WorkError, match=reason):
        job_of(params)


def test_mining_work_counts_through_the_bits_of_a_mask() -> None:
    assert [spread_bits(number, 0b101000) for number in range(5)] == [0, 0b001000, 0b100000, 0b101000, 0]
    assert len({spread_bits(number, MASK) for number in range(65536)}) == 65536


def test_mining_search_finds_the_genesis_nonce_and_only_that() -> None:
    job = job_of(GENESIS_NOTIFY)
    head = header_for(job, bytes(4), bytes(4), GENESIS_TIME, 0)[:76]
    first = GENESIS_NONCE - 1500
    assert search_sha256d(head, job.block_target(), first, 3000) == (3000, [GENESIS_NONCE])
    assert search_sha256d(head, job.block_target(), first, 1500) == (1500, [])


def test_mining_search_takes_a_hash_equal_to_the_target_and_refuses_one_above() -> None:
    head = bytes(76)
    digest = hashlib.sha256(hashlib.sha256(head + bytes(4)).digest()).digest()
    number = int.from_bytes(digest, "little")
    assert search_sha256d(head, number, 0, 1) == (1, [0])
    assert search_sha256d(head, number - 1, 0, 1) == (1, [])


def test_mining_search_agrees_with_hashing_one_by_one() -> None:
    head, target = bytes(range(76)), 2**246
    hashes = {
        nonce: hashlib.sha256(hashlib.sha256(head + nonce.to_bytes(4, "little")).digest()).digest()
        for nonce in range(5000)
    }
    expected = [nonce for nonce, digest in hashes.items() if int.from_bytes(digest, "little") <= target]
    assert expected, "the sample holds finds"
    assert search_sha256d(head, target, 0, 5000) == (5000, expected)


def test_mining_search_of_scrypt_agrees_with_hashlib() -> None:
    head, target = bytes(range(76)), 2**252
    expected = []
    for nonce in range(60):
        header = head + nonce.to_bytes(4, "little")
        if int.from_bytes(hashlib.scrypt(header, salt=header, n=1024, r=1, p=1, dklen=32), "little") <= target:
            expected.append(nonce)
    assert expected, "the sample holds finds"
    assert search_scrypt(head, target, 0, 60) == (60, expected)


def test_mining_search_stops_at_the_last_nonce() -> None:
    assert search_sha256d(bytes(76), 0, NONCES - 10, 100) == (10, [])
    assert search_scrypt(bytes(76), 0, NONCES - 2, 100) == (2, [])


def test_mining_search_ends_early_when_everything_is_a_find() -> None:
    tried, found = search_sha256d(bytes(76), 2**256 - 1, 7, 1000)
    assert (tried, found) == (MOST_FOUND, list(range(7, 7 + MOST_FOUND)))
    assert search_scrypt(bytes(76), 2**256 - 1, 0, 1000)[0] == MOST_FOUND
