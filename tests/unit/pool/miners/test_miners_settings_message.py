"""Settings messages, line by line: what is read, and what each mistake is told as."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.message_signing import SigningKey

from chains.families import network
from pool.miners.refusal import SettingsRefusedError, SignatureRefusedError
from pool.miners.settings_message import (
    MAX_TEXT,
    Destination,
    SettingsRules,
    parse_message,
    read_signed,
    template,
)

NET = network("devnet", "regtest")
NAMECOIN = network("namecoin", "regtest")
RULES = SettingsRules("main pool", "regbtc", {"regbtc": NET, "alpha": NET, "regnmc": NAMECOIN})
KEY = SigningKey(11)
MINER = KEY.address("p2wpkh", NET)
ALPHA = SigningKey(12).address("p2wpkh", NET)
NMC = SigningKey(13).address("p2pkh", NAMECOIN)
TODAY = date(2026, 11, 21)
HEAD = f"parapool main pool\nminer: {MINER}\nnumber: 3\ndate: 2026-11-21\n"


def text_of(*lines: str) -> str:
    return HEAD + "\n".join(lines)


def test_settings_message_says_all_it_says() -> None:
    text = text_of(
        "minimum-payout: regnmc 0.5", "minimum-payout: regbtc default", f"register: regnmc {NMC}",
        "register: alpha none", f"release-held: alpha {ALPHA}",
    )  # fmt: skip
    message = parse_message(text, RULES)
    assert message.miner == Destination(MINER, KEY.script("p2wpkh"))
    assert (message.number, message.day) == (3, TODAY)
    assert message.minimums == {"regnmc": 50_000_000, "regbtc": None}
    assert message.registered == {"regnmc": Destination(NMC, SigningKey(13).script("p2pkh")), "alpha": None}
    assert message.released == {"alpha": Destination(ALPHA, SigningKey(12).script("p2wpkh"))}


def test_settings_message_takes_what_wallets_do_to_lines() -> None:
    plain = parse_message(text_of("minimum-payout: alpha 1"), RULES)
    for changed in (
        text_of("minimum-payout: alpha 1", ""),
        text_of("minimum-payout: alpha 1").replace("\n", "\r\n"),
        text_of("minimum-payout:   alpha   1  "),
        text_of("minimum-payout: alpha 1").replace(MINER, MINER.upper()),
    ):
        assert parse_message(changed, RULES) == plain


def test_settings_message_template_is_a_beginning() -> None:
    text = template(RULES, Destination(MINER, KEY.script("p2wpkh")), 3, TODAY)
    assert text == HEAD
    with pytest.raises(SettingsRefusedError, match="at least one setting"):
        parse_message(text, RULES)


@pytest.mark.parametrize("kind", ["p2pkh", "p2sh", "p2wpkh", "p2tr"])
def test_settings_message_signed_by_each_kind_of_address_is_taken(kind: str) -> None:
    text = text_of("minimum-payout: alpha 1").replace(MINER, KEY.address(kind, NET))
    assert read_signed(text, KEY.sign(kind, text, NET), RULES, TODAY).miner.script == KEY.script(kind)


def test_settings_message_is_signed_as_it_is() -> None:
    text = text_of("minimum-payout: alpha 1")
    signature = KEY.sign("p2wpkh", text, NET)
    for changed in (text + "\n", text.replace("\n", "\r\n"), text.replace("alpha 1", "alpha 2")):
        with pytest.raises(SignatureRefusedError, match="not of this message"):
            read_signed(changed, signature, RULES, TODAY)


def test_settings_message_of_another_key_or_magic_is_refused() -> None:
    text = text_of(f"register: alpha {ALPHA}")
    for signature in (
        SigningKey(12).sign("p2wpkh", text, NET), KEY.sign("p2wpkh", text, NAMECOIN), KEY.sign("p2pkh", text, NET)[:-4],
        "",
    ):  # fmt: skip
        with pytest.raises(SignatureRefusedError, match=r"^signature: "):
            read_signed(text, signature, RULES, TODAY)


@pytest.mark.parametrize(
    ("today", "good"),
    [
        (date(2026, 11, 19), False),
        (date(2026, 11, 20), True),
        (date(2026, 11, 28), True),
        (date(2026, 11, 29), False),
        (date(2036, 11, 21), False),
    ],
)
def test_settings_message_is_good_for_some_days(today: date, good: bool) -> None:
    text = text_of("minimum-payout: alpha 1")
    signature = KEY.sign("p2wpkh", text, NET)
    if good:
        assert read_signed(text, signature, RULES, today).number == 3
    else:
        with pytest.raises(SettingsRefusedError, match="within 7 days"):
            read_signed(text, signature, RULES, today)


SETTING = "minimum-payout: alpha 1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: expected 'parapool main pool'"),
        (text_of(SETTING).replace("main pool", "other"), "line 1: expected 'parapool main pool'"),
        (text_of(SETTING).replace("miner:", "worker:"), "line 2: expected 'miner: …'"),
        (text_of(SETTING).replace(MINER, "nobody"), "line 2: 'nobody' is no address of regbtc"),
        (text_of(SETTING).replace(MINER, NMC[:-1] + "1"), "line 2: "),
        (text_of(SETTING).replace("number: 3", "number: 0"), "line 3: number: expected a whole number"),
        (text_of(SETTING).replace("number: 3", "number: -3"), "line 3: number: expected a whole number"),
        (text_of(SETTING).replace("number: 3", "number: 3.5"), "line 3: number: expected a whole number"),
        (text_of(SETTING).replace("number: 3", "number: 1000000000000000"), "line 3: number"),
        (text_of(SETTING).replace("2026-11-21", "2026-02-31"), "line 4: date: expected YEAR-MONTH-DAY"),
        (text_of(SETTING).replace("2026-11-21", "20261121"), "line 4: date: expected YEAR-MONTH-DAY"),
        (text_of(SETTING).replace("2026-11-21", "21.11.2026"), "line 4: date: expected YEAR-MONTH-DAY"),
        (text_of(), "expected the pool's name, then miner, number, date and at least one setting"),
        (text_of("", ""), "line 5: expected 'WORD: VALUE'"),
        (text_of(SETTING, "", SETTING), "line 6: expected 'WORD: VALUE'"),
        (text_of("minimum-payout: alpha"), "line 5: minimum-payout: expected a chain and a value"),
        (text_of("minimum-payout: alpha -1"), "line 5: expected an amount in coins"),
        (text_of("minimum-payout: alpha 0.000000001"), "line 5: expected an amount in coins"),
        (text_of("minimum-payout: dogecoin 1"), "line 5: minimum-payout: there is no chain 'dogecoin'"),
        (text_of(SETTING, "minimum-payout: alpha 2"), "line 6: minimum-payout: alpha was set by an earlier line"),
        (text_of(f"register: regnmc {MINER}"), f"line 5: '{MINER}' is no address of regnmc"),
        (text_of("register: alpha"), "line 5: register: expected a chain and a value"),
        (text_of("register: alpha default"), "line 5: 'default' is no address of alpha"),
        (text_of(f"release-held: regbtc {MINER}"), "line 5: release-held: nothing is held on regbtc, the parent chain"),
        (text_of("release-held: alpha none"), "line 5: 'none' is no address of alpha"),
        (
            text_of("fee: alpha 0"),
            "line 5: unknown setting 'fee'; there are minimum-payout, register, release-held, offline-notice",
        ),
        (text_of("minimum-payout: alpha 1\x1b[2J"), "line 5: control characters"),
        (text_of("minimum-payout: alpha 1\u202e"), "line 5: control characters"),
        (text_of("minimum-payout: alpha 1\ud800"), "line 5: control characters"),
        (text_of(SETTING).replace("number: 3", "number: 3\r"), "line 3: "),
        (text_of("x" * MAX_TEXT), "a message has at most 4096 characters"),
    ],
    ids=lambda text: text[:40].strip(),
)
def test_settings_message_mistakes_are_told_with_their_line(text: str, told: str) -> None:
    if told == "line 3: ":
        text = text.replace("\r", "\r\r")
    with pytest.raises(SettingsRefusedError) as refused:
        parse_message(text, RULES)
    assert str(refused.value).startswith(told), str(refused.value)


@given(st.text(max_size=200))
@settings(deadline=None)
def test_settings_message_noise_is_refused_in_words(noise: str) -> None:
    for text in (noise, text_of(noise), HEAD.replace("3", noise) + SETTING):
        try:
            parse_message(text, RULES)
        except SettingsRefusedError as error:
            assert str(error).isprintable()
