from __future__ import annotations

import pytest

from stratum.version_rolling import BIP320_MASK, negotiate, parse_word


@pytest.mark.parametrize(
    ("requested", "mask"),
    [
        ("ffffffff", 0x1FFFE000), ("1fffe000", 0x1FFFE000), ("1FFFE000", 0x1FFFE000), ("00006000", 0x6000),
        ("00000fff", 0), (None, 0x1FFFE000), ("6000", 0x6000), ("", None), ("zzzzzzzz", None), ("1ffffe0000", None),
        ("0x1fffe0", None), (" 1fffe00", None), (0x1FFFE000, None), (True, None), ("+1fffe00", None),
    ],
)  # fmt: skip
def test_version_rolling_mask_is_the_intersection(requested: object, mask: int | None) -> None:
    assert negotiate(BIP320_MASK, requested) == mask


@pytest.mark.parametrize("text", ["0x123456", "1234567", "123456789", "12 34567", "١٢٣٤٥٦٧٨", "-1234567", 7, None])
def test_version_rolling_word_is_exactly_eight_hex_digits(text: object) -> None:
    assert parse_word(text) is None


def test_version_rolling_word_takes_both_cases() -> None:
    assert parse_word("DeadBeef") == 0xDEADBEEF
