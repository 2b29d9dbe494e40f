"""The section `miner_notices`: off unless it is there, and what is wrong in it is told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
import requests
from config_file import GOOD

from pool.config.configuration import Config, load
from pool.config.reload import ReloadRefusedError, reload_between
from pool.data_dir import StartError
from pool.miners.notice_target import NO_NOTICES, NoticeTerms, parse_target
from pool.notifications import notice_sender
from pool.settings_rules import settings_rules

Refused = Callable[..., list[str]]


def _with(section: str) -> str:
    return GOOD.replace("parent: regbtc", f"miner_notices: {section}\nparent: regbtc")


def _load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    return load(path)


def test_config_miner_notices_are_off_unless_asked_for(tmp_path: Path) -> None:
    config = _load(tmp_path, GOOD)
    assert config.miner_notices is None
    assert settings_rules(config).notices == NO_NOTICES


def test_config_miner_notices_say_what_miners_may_wish(tmp_path: Path) -> None:
    config = _load(tmp_path, _with("{}"))
    assert settings_rules(config).notices == NoticeTerms(("ntfy", "telegram", "discord", "pushover"), 10)
    assert config.miner_notices is not None and config.miner_notices.per_hour == 4
    config = _load(tmp_path, _with("{services: [ntfy], offline_after_min: 15, per_hour: 2}"))
    assert settings_rules(config).notices == NoticeTerms(("ntfy",), 15)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{services: [ntfy, mailto]}", "miner_notices.services.1: expected ntfy, telegram, discord or pushover"),
        ("{services: [json]}", "miner_notices.services.0: expected ntfy"),
        ("{services: []}", "miner_notices.services: "),
        ("{services: [ntfy, ntfy]}", "miner_notices.services: expected each service once"),
        ("{offline_after_min: 1}", "miner_notices.offline_after_min: "),
        ("{offline_after_min: 121}", "miner_notices.offline_after_min: "),
        ("{offline_after_min: 10.5}", "miner_notices.offline_after_min: "),
        ("{per_hour: 0}", "miner_notices.per_hour: "),
        ("{per_hour: 61}", "miner_notices.per_hour: "),
        ("{hosts: [127.0.0.1]}", "miner_notices.hosts: unknown key"),
    ],
)
def test_config_miner_notices_name_their_mistakes(refused: Refused, section: str, told: str) -> None:
    [line] = refused(_with(section))
    assert told in line


def test_config_miner_notices_change_with_a_restart(tmp_path: Path) -> None:
    old, new = _load(tmp_path, GOOD), _load(tmp_path, _with("{}"))
    with pytest.raises(ReloadRefusedError, match="miner_notices: a change needs a restart"):
        reload_between(old, new)


def test_config_miner_notices_need_the_package_that_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(StartError, match="miner_notices: expected the package apprise"):
        notice_sender()


PLACES = {
    "ntfy://ntfy.sh/topic": "https://ntfy.sh",
    f"tgram://123456789:{'A' * 35}/-1001": f"https://api.telegram.org/bot123456789:{'A' * 35}/sendMessage",
    f"discord://123456789012345678/{'w' * 68}": f"https://discord.com/api/webhooks/123456789012345678/{'w' * 68}",
    f"pover://{'u' * 30}@{'t' * 30}": "https://api.pushover.net/1/messages.json",
}


@pytest.mark.parametrize(("place", "url"), PLACES.items(), ids=[place.partition(":")[0] for place in PLACES])
def test_miner_notices_call_the_service_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str, url: str
) -> None:
    caplog.set_level(logging.DEBUG)
    called: list[requests.PreparedRequest] = []

    def send(self: requests.Session, request: requests.PreparedRequest, **_options: object) -> requests.Response:
        called.append(request)
        response = requests.Response()
        response.status_code = 200 if len(called) == 1 else 403
        response._content = b"{}"
        return response

    monkeypatch.setattr(requests.Session, "send", send)
    tell = notice_sender()
    target = parse_target(place)
    assert tell(target.url, "parapool main", "silent for 10 min: rig") is True
    assert tell(target.url, "parapool main", "silent for 10 min: rig") is False
    assert {request.url.rstrip("/") for request in called if request.url} == {url}
    assert b"silent for 10 min: rig" in unquote_to_bytes(str(called[0].body).replace("+", " "))
    for secret in ("/topic", "A" * 35, "w" * 68, "u" * 30, "t" * 30):
        assert secret not in caplog.text
