"""The words by which a share records the scheme it was mined under."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.shares.scheme import Counted, Rate, counted_for, read_word, word_of

chains = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)
rates = st.builds(Rate, st.integers(0, 2**63), st.integers(1, 2**256), st.integers(0, 1_000_000))
counted = st.one_of(
    st.builds(Counted, chains, st.sampled_from(["pplns", "solo"]), st.none()),
    st.builds(Counted, chains, st.sampled_from(["pps", "fpps"]), rates),
)


@given(counted)
def test_scheme_words_are_read_as_they_were_written(what: Counted) -> None:
    assert read_word(word_of(what)) == what


def test_scheme_words_look_like_this() -> None:
    assert word_of(Counted("regbtc", "pplns")) == "regbtc"
    assert word_of(Counted("regbtc", "solo")) == "regbtc:solo"
    assert word_of(Counted("doge", "fpps", Rate(1_000_000, 77, 20_000))) == "doge:fpps:1000000:77:20000"


@pytest.mark.parametrize(
    "word",
    ["a:", "a:pplns", "a:solo:1", "a:pps", "a:pps:1:2", "a:pps:1:0:0", "a:pps:1:2:1000001", "a:pps:-1:2:0",
     "a:pps:1:2:x", "a:pps:1:2:0:0", "a:pps:1:²:0"],
)  # fmt: skip
def test_scheme_refuses_words_that_none_of_ours_is(word: str) -> None:
    with pytest.raises(ValueError, match="is no word"):
        read_word(word)


def test_scheme_of_one_chain_is_found_among_all() -> None:
    words = ("regbtc", "alpha:solo", "alphabet:pps:5:2:0")
    assert counted_for(words, "alpha") == Counted("alpha", "solo")
    assert counted_for(words, "alphabet") == Counted("alphabet", "pps", Rate(5, 2, 0))
    assert counted_for(words, "alph") is None


def test_scheme_rate_is_exact_and_the_fee_comes_off_it() -> None:
    assert Rate(5_000_000_000, 3, 0).value(1) == Fraction(5_000_000_000, 3)
    assert Rate(100, 1000, 20_000).value(10) == Fraction(98, 100)
