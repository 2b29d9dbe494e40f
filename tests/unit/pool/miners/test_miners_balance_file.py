"""Files of balances: what is taken, and that every bad line is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.message_signing import SigningKey

from chains.families import network
from pool.miners import balance_file
from pool.miners.balance_file import Balance, BalanceFileError, Mistake, read_balances
from pool.miners.settings_message import SettingsRules

NET, NAMECOIN = network("devnet", "regtest"), network("namecoin", "regtest")
RULES = SettingsRules("main", "regbtc", {"regbtc": NET, "regnmc": NAMECOIN})
ADA, BOB = SigningKey(41), SigningKey(42)
ADA_BTC, BOB_NMC = ADA.address("p2wpkh", NET), BOB.address("p2pkh", NAMECOIN)
HEADING = "chain,address,amount\n"
GOOD = f"{HEADING}regbtc,{ADA_BTC},150\nregnmc,{BOB_NMC},7\n"


def mistakes_of(text: str | bytes) -> list[Mistake]:
    with pytest.raises(BalanceFileError) as refused:
        read_balances(text.encode() if isinstance(text, str) else text, RULES)
    return refused.value.mistakes


def test_balance_file_is_read() -> None:
    found = read_balances(GOOD.encode(), RULES)
    assert found.balances == (
        Balance(2, "regbtc", ADA_BTC, ADA.script("p2wpkh").hex(), 150),
        Balance(3, "regnmc", BOB_NMC, BOB.script("p2pkh").hex(), 7),
    )
    assert found.totals() == {"regbtc": 150, "regnmc": 7}
    assert len(found.reference) == 16


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.rstrip("\n"),
        GOOD.replace(",", " , "),
        GOOD.replace("\n", "\n\n"),
        GOOD.replace(ADA_BTC, ADA_BTC.upper()),
        f'{HEADING}regnmc,"{BOB_NMC}",7\nregbtc,{ADA_BTC},150\n',
        GOOD.replace(HEADING, "Chain,Address,Amount\n"),
    ],
)
def test_balance_file_saved_in_another_way_is_the_same_file(text: str) -> None:
    assert read_balances(text.encode(), RULES).reference == read_balances(GOOD.encode(), RULES).reference


def test_balance_file_that_says_something_else_is_another_file() -> None:
    others = [GOOD.replace("150", "151"), GOOD.replace(f"regnmc,{BOB_NMC},7\n", "")]
    assert len({read_balances(text.encode(), RULES).reference for text in (GOOD, *others)}) == 3


@pytest.mark.parametrize(
    "amount", ["-1", "0", "1.5", "1,5", "1e8", "", "+1", "0x10", "٣", "01", "9223372036854775808", "9" * 999]
)
def test_balance_file_amount_must_be_whole_and_positive(amount: str) -> None:
    (mistake,) = mistakes_of(f'{HEADING}regbtc,{ADA_BTC},"{amount}"\n')
    assert mistake.line == 2
    assert mistake.sentence.startswith("amount: expected a whole positive number of smallest units")
    assert len(mistake.sentence) < 250


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"dogecoin,{ADA_BTC},1", "there is no chain 'dogecoin'; there are regbtc, regnmc"),
        (f",{ADA_BTC},1", "there is no chain ''"),
        (f"regnmc,{ADA_BTC},1", f"'{ADA_BTC}' is no address of regnmc"),
        ("regbtc,nobody,1", "'nobody' is no address of regbtc"),
        (f"regbtc,{ADA_BTC}\x1b[2J,1", "address: control characters are not taken"),
        (f"regbtc,{ADA_BTC}\x00,1", "address: control characters are not taken"),
        (f"reg\u202ebtc,{ADA_BTC},1", "chain: control characters are not taken"),
        (f"regbtc,{ADA_BTC}", "expected 3 columns, there are 2"),
        (f"regbtc,{ADA_BTC},1,5", "expected 3 columns, there are 4"),
        (f"regbtc;{ADA_BTC};1", "expected 3 columns, there are 1"),
    ],
)
def test_balance_file_names_the_bad_line_and_only_that(line: str, told: str) -> None:
    (mistake,) = mistakes_of(f"{GOOD}{line}\n")
    assert mistake.line == 4
    assert mistake.sentence.startswith(told)
    assert mistake.sentence.isprintable()


def test_balance_file_names_every_bad_line_at_once() -> None:
    text = f"{GOOD}regbtc,{ADA_BTC},1\nregbtc,nobody,2\n\nregnmc,{BOB_NMC},-7\n"
    assert [mistake.line for mistake in mistakes_of(text)] == [4, 5, 7]
    assert mistakes_of(text)[0].sentence == f"regbtc {ADA_BTC} stands in line 2 already"


def test_balance_file_tells_the_line_where_a_quoted_cell_begins() -> None:
    (mistake,) = mistakes_of(f'{HEADING}regbtc,"{ADA_BTC}\n",1\nregnmc,{BOB_NMC},7\n')
    assert mistake == Mistake(2, f"address: control characters are not taken: {ADA_BTC + chr(10)!r}")


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (b"", Mistake(1, "expected the heading chain,address,amount")),
        (b"regbtc,x,1\n", Mistake(1, "expected the heading chain,address,amount")),
        (HEADING.encode(), Mistake(1, "there is no balance in this file")),
        (b"chain;address;amount\n", Mistake(1, "expected the heading chain,address,amount")),
        (GOOD.encode() + b"\xff\xfe", Mistake(4, "the file is not UTF-8 text")),
    ],
)
def test_balance_file_of_another_kind_is_told(data: bytes, mistake: Mistake) -> None:
    assert mistakes_of(data) == [mistake]


def test_balance_file_that_is_no_csv_is_told() -> None:
    (mistake,) = mistakes_of(f'{GOOD}"open,1\n')
    assert mistake.sentence.startswith("this is no CSV: ")


def test_balance_file_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    told = mistakes_of(HEADING + "x\n" * 5000)
    assert len(told) == balance_file.MAX_TOLD + 1
    assert "no more is looked at" in told[-1].sentence
    monkeypatch.setattr(balance_file, "MAX_BYTES", 10)
    assert "at most 10 bytes" in mistakes_of(GOOD)[0].sentence


@given(st.binary(max_size=200))
def test_balance_file_noise_is_refused_in_words(noise: bytes) -> None:
    for data in (noise, HEADING.encode() + noise):
        for mistake in mistakes_of(data):
            assert mistake.line >= 1
            assert mistake.sentence
