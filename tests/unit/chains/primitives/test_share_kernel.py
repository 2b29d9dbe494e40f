"""The C kernel and its Python twin: the same answers, the same refusals."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.share_kernels import KERNELS, every_kernel

from chains.primitives import _share_kernel
from chains.primitives.hashes import sha256d
from chains.primitives.share_kernel import MEETS_NOTABLE, MEETS_SHARE, NATIVE, PythonShareKernel, target_bytes

__all__ = ["every_kernel"]

ROOT = Path(__file__).parents[4]
HASH = bytes(range(32))
TOP = target_bytes(2**256 - 1)

words = st.integers(0, 0xFFFFFFFF)
digests = st.binary(min_size=32, max_size=32)


def make(kernel, coinbase1=b"a" * 70, coinbase2=b"b" * 5, size=8, branch=HASH, previous=HASH, bits=0x1D00FFFF):
    return kernel(coinbase1, coinbase2, size, branch, previous, bits)


def test_share_kernel_was_compiled_for_the_tests():
    assert NATIVE and KERNELS[:2] == ["python", "portable"]


@pytest.mark.parametrize("length", [0, 1, 46, 47, 48, 54, 55, 56, 63, 64, 65, 119, 120, 128, 330, 5000])
def test_share_kernel_hashes_coinbases_of_every_length(every_kernel, length):
    """The padding of SHA-256 ends a block, or needs one more."""
    first, second = bytes(i & 255 for i in range(length)), b"end"
    kernel = make(every_kernel, first, second, 8, b"", HASH, 7)
    root = sha256d(first + b"12345678" + second)
    expected = b"\4\0\0\0" + HASH + root + b"\5\0\0\0" b"\7\0\0\0" b"\6\0\0\0"
    assert kernel.header(b"1234", b"5678", 4, 5, 6) == expected
    digest, met = kernel.judge(b"12345678", b"", 4, 5, 6, TOP, target_bytes(0))
    assert digest == hashlib.sha256(hashlib.sha256(expected).digest()).digest()
    assert met == MEETS_SHARE


def test_share_kernel_compares_to_the_last_bit(every_kernel):
    kernel = make(every_kernel)
    digest, _ = kernel.judge(b"1234", b"5678", 1, 2, 3, TOP, TOP)
    value = int.from_bytes(digest, "little")
    exact, below = target_bytes(value), target_bytes(value - 1)
    for share, notable, met in ((exact, below, 1), (below, exact, 2), (exact, exact, 3), (below, below, 0)):
        assert kernel.judge(b"1234", b"5678", 1, 2, 3, share, notable) == (digest, met)
    for bit in range(256):
        if value >> bit & 1:
            assert kernel.judge(b"1234", b"5678", 1, 2, 3, target_bytes(value ^ 1 << bit), exact)[1] == MEETS_NOTABLE


@pytest.mark.parametrize(
    "changed",
    [
        {"previous": b"short"}, {"branch": b"x" * 33}, {"branch": bytes(33 * 32)}, {"size": -1}, {"size": 65},
        {"coinbase1": bytes((1 << 20) + 1)}, {"coinbase2": bytes((1 << 20) + 1)},
    ],
)  # fmt: skip
def test_share_kernel_refuses_lengths_that_cannot_be(every_kernel, changed):
    with pytest.raises(ValueError, match="a length is wrong"):
        make(every_kernel, **changed)


@pytest.mark.parametrize("bits", [-1, 1 << 32, 1 << 70])
def test_share_kernel_refuses_bits_that_are_no_word(every_kernel, bits):
    with pytest.raises(OverflowError):
        make(every_kernel, bits=bits)


@pytest.mark.parametrize("at", [2, 3, 4])
@pytest.mark.parametrize("number", [-1, 1 << 32, 1 << 70])
def test_share_kernel_refuses_numbers_that_are_no_words(every_kernel, at, number):
    arguments = [b"1234", b"5678", 1, 2, 3]
    arguments[at] = number
    with pytest.raises(OverflowError):
        make(every_kernel).header(*arguments)


@pytest.mark.parametrize("extranonces", [(b"", b""), (b"1234", b"567"), (b"1234", b"56789"), (b"123456789", b"")])
def test_share_kernel_refuses_extranonces_of_another_size(every_kernel, extranonces):
    with pytest.raises(ValueError, match="another size"):
        make(every_kernel).judge(*extranonces, 1, 2, 3, TOP, TOP)


@pytest.mark.parametrize("targets", [(b"x" * 31, TOP), (TOP, b"x" * 33), (b"", TOP)])
def test_share_kernel_refuses_targets_of_another_size(every_kernel, targets):
    with pytest.raises(ValueError, match="32 bytes"):
        make(every_kernel).judge(b"1234", b"5678", 1, 2, 3, *targets)


@pytest.mark.parametrize("count", [0, 4, 6])
def test_share_kernel_counts_its_arguments(every_kernel, count):
    with pytest.raises(TypeError):
        make(every_kernel).header(*[b"1234", b"5678", 1, 2, 3, 4][:count])


def test_share_kernel_made_without_its_parts_answers_with_an_error():
    empty = _share_kernel.ShareKernel.__new__(_share_kernel.ShareKernel)
    with pytest.raises(RuntimeError):
        empty.header(b"1234", b"5678", 1, 2, 3)
    made = make(_share_kernel.ShareKernel)
    before = made.header(b"1234", b"5678", 1, 2, 3)
    with pytest.raises(ValueError, match="a length is wrong"):
        made.__init__(b"", b"", 8, b"odd", HASH, 1)
    assert made.header(b"1234", b"5678", 1, 2, 3) == before


def test_share_kernel_knows_only_what_the_processor_has():
    with pytest.raises(ValueError, match="no such"):
        _share_kernel.use("such")


@settings(max_examples=int(os.environ.get("PARAPOOL_FUZZ_EXAMPLES", "300")), deadline=None)
@given(
    st.binary(max_size=400), st.binary(max_size=300), st.integers(0, 12), st.lists(digests, max_size=32), digests,
    words, st.binary(max_size=12), st.binary(max_size=12), words, words, words, digests, digests,
)  # fmt: skip
def test_share_kernel_twins_agree(c1, c2, size, branch, previous, bits, e1, e2, version, time, nonce, share, notable):
    """Whatever comes in, the C one answers as the Python one does, an error of the same kind included."""

    def answers(kernel):
        made = kernel(c1, c2, size, b"".join(branch), previous, bits)
        try:
            return made.header(e1, e2, version, time, nonce), made.judge(
                e1, e2, version, time, nonce, share, notable
            )
        except ValueError as error:
            return str(error)

    expected = answers(PythonShareKernel)
    for name in KERNELS[1:]:
        _share_kernel.use(name)
        assert answers(_share_kernel.ShareKernel) == expected
        if len(e1) <= size:
            made = _share_kernel.ShareKernel(c1, c2, size, b"".join(branch), previous, bits)
            fitting = (e2 + bytes(size))[: size - len(e1)]
            twin = PythonShareKernel(c1, c2, size, b"".join(branch), previous, bits)
            arguments = (e1, fitting, version, time, nonce, share, notable)
            assert made.judge(*arguments) == twin.judge(*arguments)
    _share_kernel.use("best")


def test_share_kernel_is_the_python_one_where_none_was_compiled():
    program = (
        "import sys; sys.modules['chains.primitives._share_kernel'] = None\n"
        "from chains.primitives.share_kernel import *\n"
        "from chains.primitives import share_kernel as k\n"
        "assert k.ShareKernel is k.PythonShareKernel and not k.NATIVE"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
