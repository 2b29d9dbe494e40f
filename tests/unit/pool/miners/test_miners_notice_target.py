"""Where a miner may be told: what is read, what is made of it, and that nothing else gets through."""

from __future__ import annotations

from typing import get_args

import apprise
import pytest

from pool.config.miner_notices import NoticeService
from pool.miners.notice_target import (
    MAX_TARGET,
    OFFLINE_NOTICE,
    SERVICES,
    NoticeTerms,
    NoticeWish,
    parse_target,
    parse_wish,
    without_targets,
)

BOT = "123456789:" + "Ab-_" * 8 + "xyz"
USER, APP = "u" * 30, "t" * 30
HOOK = "w" * 68
GOOD = {
    "ntfy": "ntfy://ntfy.sh/my-Rigs_7",
    "telegram": f"tgram://{BOT}/-1001234567890",
    "discord": f"discord://123456789012345678/{HOOK}",
    "pushover": f"pover://{USER}@{APP}",
}
HOSTS = {
    "telegram": "https://api.telegram.org/bot",
    "discord": "https://discord.com/api/webhooks",
    "pushover": "https://api.pushover.net/1/messages.json",
}


def test_notice_services_are_those_of_the_configuration() -> None:
    assert set(SERVICES) == set(get_args(NoticeService)) == set(GOOD)


@pytest.mark.parametrize("service", GOOD)
def test_notice_target_goes_to_the_services_own_host(service: str) -> None:
    target = parse_target(GOOD[service])
    assert (target.service, target.text) == (service, GOOD[service])
    place = apprise.Apprise.instantiate(target.url)
    assert place is not None
    if service == "ntfy":
        assert (place.host, place.port, place.secure, place.topics) == ("ntfy.sh", None, True, ["my-Rigs_7"])
        assert place.mode == "private"
    else:
        assert place.notify_url == HOSTS[service]


HOSTILE = [
    "", "x", "ntfy://", "ntfy://ntfy.sh", "ntfy://ntfy.sh/", "ntfy://ntfy.sh/a/b", "ntfy://ntfy.sh/a?mode=private",
    "ntfy://ntfy.sh/a,b", "ntfy://ntfy.sh/..", "ntfy://ntfy.sh/a%2f", "ntfy://ntfy.sh/" + "a" * 65, "ntfy://ntfy.sh/ä",
    "ntfy://ntfy.sh.evil.example/a", "ntfy://evil.example/a", "ntfy://ntfyXsh/a", "ntfy://user:pw@ntfy.sh/a",
    "ntfy://evil@ntfy.sh/a", "ntfy://ntfy.sh@evil.example/a", "ntfy://ntfy.sh:8080/a", "ntfy://127.0.0.1/a",
    "ntfy://localhost/a", "ntfy://[::1]/a", "ntfy://169.254.169.254/latest", "ntfys://ntfy.sh/a", "NTFY://ntfy.sh/a",
    "https://ntfy.sh/a", "http://127.0.0.1:8080/", "json://10.0.0.1/x", "jsons://example.org", "xml://example.org",
    "form://example.org", "mailto://a:b@example.org", "mailtos://a:b@example.org?to=you@example.org", "file:///etc/passwd",
    "syslog://", "dbus://", "exec://", "apprise://127.0.0.1/x", "matrix://evil.example", "gotify://evil.example/x",
    f"tgram://{BOT}", f"tgram://{BOT}/", f"tgram://{BOT}/1/2", f"tgram://{BOT}/@name", f"tgram://{BOT}/1?to=2",
    f"tgram://{BOT}/0", f"tgram://{BOT}/--1", f"tgram://{BOT}/{'1' * 20}", "tgram://1:short/1", f"tgram://{BOT}@evil/1",
    f"discord://123456789012345678/{HOOK}/x", f"discord://123456789012345678/{HOOK}?ping=@everyone",
    f"discord://evil.example/{HOOK}", f"discord://user@123456789012345678/{HOOK}", f"pover://{USER}@{APP}/device",
    f"pover://{USER}@evil.example", f"pover://{USER}@{APP}?url=http://x", GOOD["ntfy"] + "\n", "\u202e" + GOOD["ntfy"],
    GOOD["ntfy"] + "\x00", "ntfy://ntfy.sh/" + "a" * MAX_TARGET, "ntfy://ntfy.sh/１２",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_notice_target_of_any_other_form_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of ntfy://ntfy\.sh/TOPIC, ") as refused:
        parse_target(text)
    assert str(refused.value).count("://") == len(SERVICES)


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip() == text])
def test_notice_wish_of_a_bad_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{OFFLINE_NOTICE}: expected "):
        parse_wish(f"{text} after 15 min")


def test_notice_wish_is_a_place_and_minutes_or_off() -> None:
    assert parse_wish("off") == NoticeWish(None)
    wish = parse_wish(f"{GOOD['ntfy']} after 15 min")
    assert wish == NoticeWish(parse_target(GOOD["ntfy"]), 15)
    assert parse_wish(f"{GOOD['ntfy']}   after  120  min").after_min == 120
    for value in (
        "OFF", "on", GOOD["ntfy"], f"{GOOD['ntfy']} after 15", f"{GOOD['ntfy']} after 1 min", "after 15 min",
        f"{GOOD['ntfy']} after 121 min", f"{GOOD['ntfy']} after 015 min", f"{GOOD['ntfy']} after -5 min",
        f"{GOOD['ntfy']} after 15 min please", f"{GOOD['ntfy']} {GOOD['ntfy']} after 15 min",
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{OFFLINE_NOTICE}: expected ") as refused:
            parse_wish(value)
        assert "my-Rigs_7" not in str(refused.value)


def test_notice_terms_are_the_operators() -> None:
    wish, off = parse_wish(f"{GOOD['ntfy']} after 15 min"), NoticeWish(None)
    NoticeTerms(("ntfy",), 15).check(wish)
    NoticeTerms().check(off)
    for terms, told in (
        (NoticeTerms(), "sends no offline notices"),
        (NoticeTerms(("discord", "telegram")), "by discord, telegram only"),
        (NoticeTerms(("ntfy",), 16), "at least 16 min"),
    ):
        with pytest.raises(ValueError, match=told):
            terms.check(wish)
        terms.check(off)


def test_notice_texts_have_no_place() -> None:
    for service, text in GOOD.items():
        wish = parse_wish(f"{text} after 15 min")
        assert str(wish) == f"{service}, after 15 min"
        message = without_targets(f"a: b\r\n{OFFLINE_NOTICE}:  {text} after 15 min\r\n")
        shown = f"{wish!r} {wish} {wish.target!r} {message}"
        for secret in ("my-Rigs_7", BOT, BOT.split(":")[1], HOOK, USER, APP):
            assert secret not in shown
    assert str(NoticeWish(None)) == "off"
    message = f"minimum-payout: a 1\n{OFFLINE_NOTICE}: {GOOD['ntfy']} after 15 min\nregister: a b"
    assert without_targets(message) == f"minimum-payout: a 1\n{OFFLINE_NOTICE}: (ntfy, after 15 min)\nregister: a b"
    assert without_targets(f"{OFFLINE_NOTICE}: off\n") == f"{OFFLINE_NOTICE}: (off)\n"
    assert without_targets(f"{OFFLINE_NOTICE}: of a later version") == f"{OFFLINE_NOTICE}: (not shown)"
