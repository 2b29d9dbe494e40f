"""One share, however it is spelled, whoever sends it again, is credited once: 100,000 changed resubmissions."""

from __future__ import annotations

import json
import random
from typing import Any

from support.job_factory import JobFactory, aux_template

from chains.primitives.hashes import sha256d
from pool.jobs.job import Job
from pool.jobs.job_table import JobTable
from pool.shares.validation import validate
from stratum import jsonrpc
from stratum.jsonrpc import Request
from stratum.submission import read_submit

RESUBMISSIONS = 100_000
MASK = 0x1FFFE000
ANY = 2**256 - 1
WORKERS = {"addr.rig": object(), "addr.other": object()}
EXTRANONCES = (b"\1\2\3\4", b"\1\2\3\5", b"\2\2\3\4")
"""Of this connection, of another one of the process, and of another front end: never the same (stratum/extranonce)."""

SHARE = ["addr.rig", "1", "05060708", "6553f100", "00abcdef", "00004000"]


def another_spelling(share: list[Any], chance: random.Random) -> bytes:
    """The same line in other words, most of them the same share, some a different one, some none at all."""
    params: list[Any] = list(share)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(params))
        text = params[at]
        if not isinstance(text, str):
            continue
        match chance.randrange(9):
            case 0:
                params[at] = text.upper()
            case 1:
                params[at] = chance.choice(("0x", " ", "0", "+", "\t", "00", "\u0660")) + text
            case 2:
                params[at] = text + chance.choice((" ", "0", "\n", "\0", "00"))
            case 3:
                params[at] = "".join(chance.choice((c.upper(), c.lower())) for c in text)
            case 4:
                digit = chance.randrange(len(text)) if text else 0
                params[at] = text[:digit] + chance.choice("0123456789abcdefABCDEF") + text[digit + 1 :]
            case 5:
                params[0] = chance.choice(list(WORKERS))
            case 6:
                params.append(chance.choice((None, "", "00000000", 7, [])))
            case 7:
                params = params[:5] + chance.choice(([], [None], [chance.choice(("00004000", "20004000", "00000000"))]))
            case _:
                params[at] = text[: len(text) // 2] + " " + text[len(text) // 2 :]
    line = json.dumps({"id": chance.randrange(10**6), "method": "mining.submit", "params": params})
    if chance.random() < 0.2:
        line = "".join(f"\\u{ord(c):04x}" if c in "0a5f" and chance.random() < 0.1 else c for c in line)
    return line.encode()


def header_of(job: Job, line: bytes, extranonce1: bytes, table: JobTable, accepted: dict[bytes, bytes]) -> None:
    """Judge a line as the pool does; what is accepted is noted by the 80 bytes that were hashed."""
    request = jsonrpc.decode(line)
    if not isinstance(request, Request):
        return
    submit = read_submit(request, WORKERS, 8)
    if not hasattr(submit, "job_id") or submit.worker not in WORKERS or table.get(submit.job_id) is not job:
        return
    verdict = validate(job, job.layouts[4], submit, extranonce1, MASK, ANY, table.tip)
    if verdict.error is None:
        assert verdict.header not in accepted, f"{line!r} is paid a second time, as {accepted[verdict.header]!r} was"
        accepted[verdict.header] = line


def test_shares_resubmitted_in_other_words_are_credited_once_across_connections_and_restarts() -> None:
    chance = random.Random(340)
    jobs = JobFactory()
    job = jobs.make(None, aux_template("alpha"))
    first = json.dumps({"id": 1, "method": "mining.submit", "params": SHARE}).encode()
    accepted: dict[bytes, bytes] = {}
    for extranonce1 in EXTRANONCES:
        header_of(job, first, extranonce1, jobs.table, accepted)
    assert len(accepted) == len(EXTRANONCES)  # three different headers: each connection's work is its own
    same = set(accepted)
    for number in range(RESUBMISSIONS):
        if number % 10_000 == 9_999:  # a restart: what the share log remembers, and the same template again
            jobs = JobFactory()
            jobs.table = JobTable(sha256d(header) for header in accepted)
            job = jobs.make(None, aux_template("alpha"))
        header_of(job, another_spelling(SHARE, chance), chance.choice(EXTRANONCES), jobs.table, accepted)
    others = len(accepted) - len(same)
    assert 100 < others < RESUBMISSIONS / 3, "some changes are shares of their own, and those are good once"
