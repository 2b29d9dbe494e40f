"""From a configuration to the web port's options."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_file import GOOD

from pool.config.configuration import Config, load
from pool.data_dir import StartError
from pool.web.options import PortOffer
from pool.web_setup import web_options


def configured(folder: Path, text: str = GOOD) -> Config:
    path = folder / "pool.yaml"
    path.write_text(text)
    (folder / "data").mkdir(exist_ok=True)
    return load(str(path), {"pool.data_dir": str(folder / "data")})


def http(words: str) -> str:
    return GOOD.replace("http:\n", f"http:\n  {words}\n")


def test_web_setup_defaults(tmp_path: Path) -> None:
    options = web_options(configured(tmp_path))
    assert options.pseudonyms is None
    assert (options.limits.burst, options.limits.per_s, options.limits.exempt_loopback) == (60, 5.0, True)
    (port,) = options.ports
    assert isinstance(port, PortOffer)
    assert (port.protocol, port.host, port.port) == ("stratum+tcp", "127.0.0.1", 3333)
    assert options.payouts == {}


@pytest.mark.parametrize(
    ("bind", "public_url", "expected"),
    [
        ("0.0.0.0:3333", None, ("stratum+tcp", None, 3333)),
        ("'[::]:3333'", None, ("stratum+tcp", None, 3333)),
        ("0.0.0.0:3333", "stratum+ssl://pool.example:443", ("stratum+ssl", "pool.example", 443)),
    ],
)
def test_web_setup_ports_are_told_as_miners_reach_them(
    tmp_path: Path, bind: str, public_url: str | None, expected: tuple[str, str | None, int]
) -> None:
    more = "" if public_url is None else f"\n      public_url: {public_url}"
    text = GOOD.replace("bind: 127.0.0.1:3333", f"bind: {bind}{more}")
    (port,) = web_options(configured(tmp_path, text)).ports
    assert (port.protocol, port.host, port.port) == expected


def test_web_setup_makes_the_secret_of_pseudonyms_once(tmp_path: Path) -> None:
    config = configured(tmp_path, http("public_credits: pseudonym"))
    first = web_options(config).pseudonyms
    path = tmp_path / "data/pseudonym.key"
    assert path.stat().st_mode & 0o777 == 0o600
    second = web_options(config).pseudonyms
    assert first is not None and second is not None
    assert first.name("alpha", "a") == second.name("alpha", "a")
    path.unlink()
    third = web_options(config).pseudonyms
    assert third is not None
    assert third.name("alpha", "a") != first.name("alpha", "a")


def test_web_setup_refuses_a_secret_that_is_none_or_that_everybody_may_read(tmp_path: Path) -> None:
    key = tmp_path / "key"
    config = configured(tmp_path, http(f"public_credits: pseudonym\n  pseudonym_key_file: {key}"))
    with pytest.raises(FileNotFoundError):
        web_options(config)
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o604)
    with pytest.raises(StartError, match="everybody may read it: chmod 600"):
        web_options(config)
    key.chmod(0o640)
    assert web_options(config).pseudonyms is not None
    key.write_text("ab" * 31)
    with pytest.raises(StartError, match="64 hex digits"):
        web_options(config)
