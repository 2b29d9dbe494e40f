"""The C reader of plain submissions gives what the Python code gives, or leaves the line to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratum import _submit_scan  # not there: the package was installed without a C compiler
from stratum.events import Submit
from stratum.jsonrpc import Request, decode
from stratum.submission import read_submit

ROOT = Path(__file__).parents[3]
EXAMPLES = int(os.environ.get("PARAPOOL_FUZZ_EXAMPLES", "500"))
PLAIN = b'{"id":7,"method":"mining.submit","params":["bc1q.rig","0aF1","0000002a","65000000","0000000B","1fffe000"]}'


def scan(line: bytes, digits: int = 8) -> Submit | None:
    return _submit_scan.scan(line, digits, Submit)


def reference(line: bytes, digits: int = 8) -> Submit | None:
    """What the Python code makes of the line; None for everything but a well-formed submission."""
    request = decode(line)
    if not isinstance(request, Request) or request.method != "mining.submit":
        return None
    submit = read_submit(request, {}, digits)
    return submit if isinstance(submit, Submit) else None


def fields(submit: Submit) -> tuple[object, ...]:
    return tuple(getattr(submit, name) for name in Submit.__struct_fields__)


def agree(line: bytes, digits: int = 8) -> None:
    """What the scan reads, the reference reads alike."""
    found = scan(line, digits)
    if found is not None:
        expected = reference(line, digits)
        assert expected is not None and fields(found) == fields(expected)
        assert [type(value) for value in fields(found)] == [type(value) for value in fields(expected)]


def test_submit_scan_reads_the_plain_line():
    submit = scan(PLAIN)
    assert submit is not None
    assert fields(submit) == (b"7", "bc1q.rig", "0af1", b"\0\0\0\x2a", 0x65000000, 0xB, 0x1FFFE000)
    agree(PLAIN)


@pytest.mark.parametrize(
    "line",
    [
        b'{"params": ["w", "1", "0000002a", "65000000", "0000000b"], "id": 4, "method": "mining.submit"}',  # cgminer
        b'{"id": null, "method": "mining.submit", "params": ["w", "1", "0000002a", "65000000", "0000000b"]}',
        b'  { "method" : "mining.submit" , "id" : 0 , "params" : [ "" , "" , "0000002A" , "6500FFFF" , "0000000b" ] } ',
        b'{"id":123456789012345678,"method":"mining.submit","params":["w~!:","A","ffffffff","00000000","ffffffff"]}',
    ],
)
def test_submit_scan_reads_what_miners_write(line):
    assert scan(line) is not None
    agree(line)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"{}", b"[]", PLAIN[:-1], PLAIN + b"x", PLAIN + PLAIN, b"\t" + PLAIN,
        PLAIN.replace(b"7", b"-7"), PLAIN.replace(b"7", b"07"), PLAIN.replace(b"7", b'"7"'),
        PLAIN.replace(b"7", b"7.0"),
        PLAIN.replace(b"7", b"1234567890123456789"), PLAIN.replace(b"7", b""), PLAIN.replace(b"7", b"nul"),
        PLAIN.replace(b'"id":7', b'"id":7,"id":7'), PLAIN.replace(b'"id":7', b'"method":"mining.submit"'),
        PLAIN.replace(b'"id":7,', b""), PLAIN.replace(b'"id":7', b'"id":7,"jsonrpc":"2.0"'),
        PLAIN.replace(b"submit", b"submis"), PLAIN.replace(b"submit", b"submits"), PLAIN.replace(b"mining.", b""),
        PLAIN.replace(b"rig", b"r\\u0069g"), PLAIN.replace(b"rig", "ríg".encode()), PLAIN.replace(b"rig", b"r\x7fg"),
        PLAIN.replace(b"rig", b"r\x00g"), PLAIN.replace(b"2a", b"2g"), PLAIN.replace(b"0000002a", b"00002a"),
        PLAIN.replace(b"0000002a", b"000000 2"), PLAIN.replace(b"65000000", b"6500000"),
        PLAIN.replace(b"0000000B", b"+000000B"), PLAIN.replace(b'"1fffe000"', b"null"),
        PLAIN.replace(b"1fffe000", b"1"),
        PLAIN.replace(b'"1fffe000"', b'"1fffe000","x"'), PLAIN.replace(b',"0000000B","1fffe000"', b""),
        PLAIN.replace(b'"0000000B"', b"11"), PLAIN.replace(b"]}", b",]}"), PLAIN.replace(b'["', b'[,"'),
    ],
)  # fmt: skip
def test_submit_scan_leaves_the_rest_to_the_reference(line):
    assert scan(line) is None


@pytest.mark.parametrize("digits", [-2, -1, 0, 1, 7, 10, 16, 34, 1 << 40])
def test_submit_scan_wants_the_negotiated_size(digits):
    agree(PLAIN.replace(b"0000002a", b"0" * min(max(digits, 0), 64)), 16 if digits == 16 else 8)
    assert scan(PLAIN, digits) is None


def test_submit_scan_is_left_out_where_it_was_not_compiled():
    """A session then reads every line by the reference."""
    program = (
        "import sys; sys.modules['stratum._submit_scan'] = None\n"
        "from stratum import submission\n"
        "from stratum.events import Submit\n"
        "from stratum.jsonrpc import decode\n"
        "assert submission.scan is None\n"
        f"assert isinstance(submission.read_submit(decode({PLAIN!r}), {{}}, 8), Submit)\n"
        "import stratum.session"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_submit_scan_refuses_what_is_no_line():
    for arguments in (("text", 8, Submit), (b"", "8", Submit), (b"", 8)):
        with pytest.raises(TypeError):
            _submit_scan.scan(*arguments)
    with pytest.raises(OverflowError):
        _submit_scan.scan(PLAIN, 1 << 70, Submit)
    with pytest.raises(TypeError):
        _submit_scan.scan(PLAIN, 8, int)


texts = st.text(max_size=12) | st.text("0123456789abcdefABCDEF", min_size=8, max_size=8)
messages = st.fixed_dictionaries(
    {
        "id": st.none() | st.integers(-5, 10**20) | st.text(max_size=3) | st.floats(allow_nan=False),
        "method": st.sampled_from(["mining.submit", "mining.notify"]),
        "params": st.lists(texts, min_size=4, max_size=7),
    },
    optional={"jsonrpc": st.just("2.0")},
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([4, 8, 16]))
def test_submit_scan_agrees_on_messages(message, random, tight, digits):
    members = list(message.items())
    random.shuffle(members)
    separators = (",", ":") if tight else (", ", ": ")
    agree(json.dumps(dict(members), separators=separators, ensure_ascii=random.random() < 0.5).encode(), digits)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, len(PLAIN)), st.integers(0, 9), st.binary(max_size=6))
def test_submit_scan_agrees_on_damaged_lines(at, removed, inserted):
    agree(PLAIN[:at] + inserted + PLAIN[at + removed :])
