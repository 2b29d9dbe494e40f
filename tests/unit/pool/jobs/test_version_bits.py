"""Which version bits stay out of rolling for a strict child's sake."""

from __future__ import annotations

from types import MappingProxyType

from support.job_factory import parent_template

from chains.kind import AuxTemplate
from pool.jobs.template_set import TemplateSet
from pool.jobs.version_bits import FixedVersionBits


def templates(**chain_ids: int) -> TemplateSet:
    aux = {n: AuxTemplate(n, bytes(32), 1, 1, bytes(32), 1, f"{n}[0]", chain_id=i) for n, i in chain_ids.items()}
    return TemplateSet(parent_template(version=0x20000000), MappingProxyType(aux))


def test_version_bits_of_low_chain_ids_need_no_guard():
    assert FixedVersionBits(frozenset({"regnmc"}))(templates(regnmc=1)) == 0


def test_version_bits_guard_a_chain_id_that_rolling_could_make():
    fixed = FixedVersionBits(frozenset({"fractal"}))(templates(fractal=0x2024))
    assert fixed and fixed & ~0x1FFFE000 == 0
    assert fixed & 0x00240000, "one of the two bits that make 0x2024 stays put"


def test_version_bits_of_a_lenient_chain_stay_free():
    assert FixedVersionBits(frozenset())(templates(fractal=0x2024)) == 0


def test_version_bits_say_once_which_chain_is_shut_out_and_still_guard_the_others(caplog):
    """The parent's version carries regnmc's id as it is; bits of the other chain's id must stay out of rolling."""
    fixed = FixedVersionBits(frozenset({"regnmc", "fractal"}))
    both, alone = templates(regnmc=0x2000, fractal=0x2024), templates(fractal=0x2024)
    assert fixed(both) == fixed(alone) != 0
    for _ in range(3):
        fixed(both)
    assert caplog.text.count("regnmc will refuse our proofs") == 2
