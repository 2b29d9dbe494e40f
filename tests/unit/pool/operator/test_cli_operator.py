"""`pool operator` against a port: what is asked, what is printed, and with which exit code it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from config_file import GOOD
from operator_site import ANNA, OperatorError, Site, operator_site

from pool.cli.commands import commands


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(ANNA)
    path.chmod(0o600)
    return path


async def run(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, commands, ["operator", *words])


def at(site: Site, token_file: Path) -> tuple[str, ...]:
    return "--url", f"http://127.0.0.1:{site.server.port}", "--token-file", str(token_file)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("drain",), ("begin_drain", 1200)),
        (("drain", "--over-s", "0"), ("begin_drain", 0)),
        (("drain", "--show"), ("drain_state",)),
        (("undrain",), ("end_drain",)),
        (("reload",), ("reload",)),
        (("bans", "add", "192.0.2.0/24", "--reason", "why"), ("ban", "192.0.2.0/24", 86_400, "why")),
        (("bans", "remove", "192.0.2.0/24"), ("unban", "192.0.2.0/24")),
        (("bans", "remove", "2001:db8::/64"), ("unban", "2001:db8::/64")),
        (("message", "héllo & bye?"), ("tell", "héllo & bye?", None, None)),
        (("message", "x", "--login", "A", "--worker", "w"), ("tell", "x", "A", "w")),
        (("connections", "--login", "A B&c", "--limit", "7"), ("connections", 0, 7, "A B&c", None)),
    ],
)
async def test_cli_operator_asks(words: tuple[str, ...], asked: tuple[Any, ...], token_file: Path) -> None:
    async with operator_site() as site:
        result = await run(*words, *at(site, token_file), "--json")
        assert result.exit_code == 0, result.output
        assert site.pool.asked == [asked] and isinstance(json.loads(result.output), dict)


async def test_cli_operator_says_why_not(token_file: Path) -> None:
    async with operator_site() as site:
        site.pool.problem = OperatorError(409, "nothing is taken over", ["http: a change\n needs a restart"])
        result = await run("reload", *at(site, token_file))
        assert result.exit_code == 1 and result.stdout == ""
        assert result.stderr == "nothing is taken over\nhttp: a change\\n needs a restart\n"
        await asyncio.to_thread(token_file.write_text, "z" * 40)
        result = await run("drain", *at(site, token_file))
        assert result.exit_code == 1 and "expected the header" in result.stderr
        result = await run("drain", "--url", "ftp://x", "--token-file", str(token_file))
        assert result.exit_code == 1 and "--url: expected http://HOST:PORT" in result.stderr
        await asyncio.to_thread(token_file.chmod, 0o644)
        result = await run("drain", *at(site, token_file))
        assert result.exit_code == 1 and "chmod o-r" in result.stderr and "zzz" not in result.output
        for words in ((), ("--url", "http://127.0.0.1:1"), ("-c", "a", "--url", "b"), ("--token-file", "x")):
            assert (await run("drain", *words)).exit_code == 2
        assert (await run("drain", "--over-s", "-1", "-c", "x")).exit_code == 2
    await asyncio.to_thread(token_file.chmod, 0o600)
    result = await run("drain", *at(site, token_file))
    assert result.exit_code == 1 and "no answer from 127.0.0.1:" in result.stderr


async def test_cli_operator_finds_port_and_token_in_the_pools_file(tmp_path: Path) -> None:
    path, data = tmp_path / "pool.yaml", tmp_path / "data"
    path.write_text(GOOD.replace("data_dir: ./data", f"data_dir: {data}"))
    result = await run("drain", "-c", str(path))
    assert result.exit_code == 1 and "put `operator: {}` into its file" in result.stderr
    socket = tmp_path / "op.sock"
    text = path.read_text()
    path.write_text(text.replace("parent: regbtc", f"operator: {{socket: {socket}}}\nparent: regbtc"))
    result = await run("drain", "-c", str(path))
    assert result.exit_code == 1 and "operator.token: expected a readable file" in result.stderr
    data.mkdir()
    (data / "operator.token").write_text(ANNA)
    (data / "operator.token").chmod(0o600)
    result = await run("drain", "-c", str(path))
    assert result.exit_code == 1 and f"no answer from {socket}" in result.stderr
    async with operator_site(socket) as site:
        assert (await run("reload", "-c", str(path))).output == "changed: pool.fee_ppm\n"
    async with operator_site() as site:
        path.write_text(text.replace("parent: regbtc", "operator: {}\nparent: regbtc"))
        result = await run("undrain", "-c", str(path), "--set", f"operator.bind=0.0.0.0:{site.server.port}")
        assert result.exit_code == 0 and site.pool.asked == [("end_drain",)], result.output


async def test_cli_operator_tells_a_port_that_is_none(token_file: Path) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    result = await run("drain", "--url", url, "--token-file", str(token_file))
    assert result.exit_code == 1 and "is no operator's port of a pool: its answer 200" in result.stderr
    server.close()


def _states() -> Iterator[tuple[dict[str, Any], str]]:
    state = {"draining": False, "here": 4, "leaving": 0, "over_s": 0.0, "since_s": 0.0, "ends_in_s": 0.0}
    yield state, "not draining: 4 connections"
    yield state | {"leaving": 1}, "not draining: 4 connections, 1 of them leaving"
    going = state | {"draining": True, "since_s": 2.4, "ends_in_s": 600.0}
    yield going, "draining since 2 s: 4 connections here, 0 of them leaving; the last one is asked in 600 s"
    yield going | {"ends_in_s": 0.0, "leaving": 4}, "4 of them leaving; all are asked"
    yield going | {"here": 0}, "drained: nobody is connected, the process may be stopped"


async def test_cli_operator_bears_with_another_version(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with operator_site() as site:
        monkeypatch.setattr(site.pool, "drain_state", lambda: {"state": "off"})
        result = await run("drain", "--show", *at(site, token_file))
        assert result.exit_code == 0 and "answer is one of another version" in result.stderr


@pytest.mark.parametrize(("state", "words"), list(_states()))
async def test_cli_operator_says_how_far_a_drain_is(
    state: dict[str, Any], words: str, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operator_site() as site:
        monkeypatch.setattr(site.pool, "drain_state", lambda: state)
        assert words in (await run("drain", "--show", *at(site, token_file))).output


async def test_cli_operator_prints_tables_that_steer_no_terminal(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {
        "number": 12, "address": "192.0.2.1", "logins": [{"login": "bc1q", "worker": "a\x1b[2Jb"}], "logins_total": 3,
        "agent": "evil\n/1", "difficulty": 1024.0, "hashrate": 1_230_000_000_000, "connected_ms": 0,
        "last_share_ms": None, "leaving": True,
    }  # fmt: skip
    nobody = item | {"number": 13, "logins": [], "logins_total": 0, "agent": "", "difficulty": None, "hashrate": None}
    async with operator_site() as site:
        page = {"total": 9, "items": [item, nobody], "after": 13, "missing": [3]}

        async def connections(*asked: Any) -> dict[str, Any]:
            return page

        monkeypatch.setattr(site.pool, "connections", connections)
        head, first, second, last, missing = (await run("connections", *at(site, token_file))).output.splitlines()
        assert head.split() == ["NO", "ADDRESS", "HASHRATE", "DIFFICULTY", "SINCE", "SHARE", "LOGIN", "AGENT"]
        for word in ("1.23 TH/s", "1024", "- leaving", "bc1q.a\\x1b[2Jb and 2 more", "evil\\n/1"):
            assert word in first
        assert second.split()[:4] == ["13", "192.0.2.1", "-", "-"] and last == "2 of 9, more with --after 13"
        assert missing == "front end 3 did not answer in time, its miners are not counted here"
        told = (await run("message", "x", *at(site, token_file))).output.splitlines()
        assert told == ["3 connections were told", missing.replace("3", "2")]

        site.pool.every_ban = [{"network": "192.0.2.0/24", "reason": "r", "until_ms": 1_700_000_000_000, "by": "pool"}]
        lines = (await run("bans", "list", *at(site, token_file))).output.splitlines()
        assert lines[1].split() == ["192.0.2.0/24", "2023-11-14T22:13:20Z", "pool", "r"] and lines[2] == "1 of 1"
