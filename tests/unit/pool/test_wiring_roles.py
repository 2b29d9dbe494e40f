"""The roles payout and web, and what each role may reach: only payout and all open a wallet or read its secrets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from config_file import ADDRESS
from support.ports import free_port

from pool.config.configuration import Config, ConfigError, load
from pool.data_dir import lock_data_dir
from pool.storage.database import upgrade
from pool.wiring import paying
from pool.wiring.beside import RunningBeside
from pool.wiring.process import RunningPool

CONFIG = """\
pool: {{name: test, data_dir: {data}, database_url: "{url}", role: {role}}}
stratum: {{ports: [{{bind: "127.0.0.1:{stratum}", public_url: "stratum+tcp://pool.example:3333"}}]}}
http: {{bind: "127.0.0.1:{http}"}}
parent: regbtc
chains:
  regbtc:
    kind: bitcoin
    network: regtest
    address: {address}
    fee_ppm: {fee_ppm}
    nodes: [{{url: "http://127.0.0.1:1", user: u, password_file: {folder}/node}}]
    payouts: {{minimum_payout: {minimum}, user: w, password_file: {folder}/wallet, passphrase_file: {folder}/phrase}}
"""


@pytest.fixture
def books(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'books.sqlite'}"
    upgrade(url)
    for name in ("node", "wallet", "phrase"):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    return url


@pytest.fixture
def made(tmp_path: Path, books: str) -> Any:
    """A configuration of a role; its ports stay the same."""
    fixed = {"stratum": free_port(), "http": free_port(), "url": books, "address": ADDRESS, "folder": tmp_path}

    def make(role: str, **changes: Any) -> Config:
        path = tmp_path / f"{role}.yaml"
        data = tmp_path / f"data-{role}"
        path.write_text(
            CONFIG.format(**({"role": role, "data": data, "minimum": 1000, "fee_ppm": 0} | fixed | changes))
        )
        return load(path, {})

    return make


@contextlib.asynccontextmanager
async def running(process: Any, config: Config) -> Any:
    task = asyncio.create_task(process.run())
    async with asyncio.timeout(20):
        while await _closed(config.http.address[1]):
            assert not task.done()
            await asyncio.sleep(0.01)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        lock_data_dir(config.pool.data_dir).close()


async def _closed(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


async def get(config: Config, path: str) -> str:
    reader, writer = await asyncio.open_connection(*config.http.address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_wiring_web_shows_the_books_and_opens_nothing_else(reactor: Any, made: Any, tmp_path: Path) -> None:
    config = made("web")
    for secret in ("node", "wallet", "phrase"):  # whose files it need not even have
        (tmp_path / secret).unlink()
    config = made("web")
    async with running(RunningBeside(config), config):
        assert "200 OK" in await get(config, "/healthz")
        assert '"miners":0' in await get(config, "/api/v1/pool")
        chains = await get(config, "/api/v1/chains")
        assert '"state":"unknown"' in chains
        assert "200 OK" in await get(config, "/")
        assert "stratum+tcp://pool.example:3333" in await get(config, "/connect")
        assert "404" in await get(config, f"/api/v1/miners/{ADDRESS}/settings"), "it can change nothing"
        assert "process_resident" in await get(config, "/metrics")
        assert await _closed(config.stratum.ports[0].address[1])


async def test_wiring_web_waits_for_books_that_somebody_else_makes(reactor: Any, made: Any, capsys: Any) -> None:
    config = made("web", url="sqlite:////nowhere/at/all.sqlite")
    assert await RunningBeside(config).run() == 1
    assert "there are no books yet" in capsys.readouterr().err


async def test_wiring_payout_pays_and_shows_no_books(reactor: Any, made: Any) -> None:
    config = made("payout")
    process = RunningBeside(config)
    async with running(process, config):
        assert process.payers is not None and [service.chain for service in process.payers.services] == ["regbtc"]
        assert "parapool_payout_hold" in await get(config, "/metrics")
        assert "503" in await get(config, "/api/v1/blocks")
        assert await _closed(config.stratum.ports[0].address[1])


async def test_wiring_payout_takes_over_other_terms_and_keeps_them_when_the_new_ones_are_wrong(
    reactor: Any, made: Any, caplog: Any
) -> None:
    config = made("payout")
    process = RunningBeside(config, lambda: load(config.pool.data_dir.parent / "payout.yaml", {}))
    async with running(process, config):
        assert process.payers is not None
        [before] = process.payers.services
        made("payout", minimum=2000)
        caplog.set_level("INFO", "parapool")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            while "configuration taken over" not in caplog.text:
                await asyncio.sleep(0.01)
        [after] = process.payers.services
        assert after is not before and after._terms.minimum_payout == 2000
        made("payout", minimum=3000, http=free_port())
        assert not await process.reload()
        assert "http: a change needs a restart" in caplog.text and process.payers.services == [after]


async def test_wiring_payout_does_not_start_without_its_secrets(
    reactor: Any, made: Any, tmp_path: Path, capsys: Any
) -> None:
    config = made("payout")
    (tmp_path / "wallet").unlink()
    assert await RunningBeside(config).run() == 1
    assert "wallet" in capsys.readouterr().err
    lock_data_dir(config.pool.data_dir).close()


async def test_wiring_an_accountant_opens_no_wallet(reactor: Any, made: Any, monkeypatch: Any, tmp_path: Path) -> None:
    def forbidden(*arguments: object) -> None:
        raise AssertionError("a wallet was opened")

    monkeypatch.setattr(paying, "open_wallet", forbidden)
    for secret in ("wallet", "phrase"):
        (tmp_path / secret).unlink()
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    config = _over_redis(made, "accountant", tmp_path)
    pool = RunningPool(config)
    async with running(pool, config):
        assert pool.keeping.payers.services == []
        assert await _closed(config.stratum.ports[0].address[1])
        changed = _over_redis(made, "accountant", tmp_path, minimum=5000)
        pool._read = lambda: changed
        assert await pool.reload()
        assert pool.keeping.payers.services == []


def _over_redis(made: Any, role: str, folder: Path, **changes: Any) -> Config:
    with contextlib.suppress(ConfigError):  # it writes the file, which lacks the transport
        made(role, **changes)
    path = folder / f"{role}.yaml"
    path.write_text(path.read_text() + "transport: {kind: redis, redis_url_env: REDIS_URL}\n")
    return load(path, {})


@pytest.mark.parametrize("role", ["stratum", "accountant"])
def test_config_secrets_of_a_wallet_are_looked_at_by_who_pays_only(made: Any, tmp_path: Path, role: str) -> None:
    for secret in ("wallet", "phrase"):
        (tmp_path / secret).unlink()
    assert _over_redis(made, role, tmp_path).pool.role == role
    with pytest.raises(ConfigError, match="password_file"):
        made("payout")
    with pytest.raises(ConfigError, match="password_file"):
        made("all")


@pytest.mark.parametrize(("former", "present"), [("both", "all"), ("frontend", "stratum")])
def test_config_roles_keep_their_former_names(made: Any, tmp_path: Path, former: str, present: str) -> None:
    assert _over_redis(made, former, tmp_path).pool.role == present


@pytest.mark.parametrize("role", ["payout", "web"])
def test_config_roles_beside_the_books_want_to_be_told_where_those_are(made: Any, tmp_path: Path, role: str) -> None:
    made(role)
    path = tmp_path / f"{role}.yaml"
    path.write_text(path.read_text().replace("database_url", "tag"))
    with pytest.raises(ConfigError, match=r"expected pool\.database_url beside it"):
        load(path, {})


def test_config_payout_wants_somebody_to_pay(made: Any, tmp_path: Path) -> None:
    made("payout")
    path = tmp_path / "payout.yaml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "payouts:" not in line))
    with pytest.raises(ConfigError, match="expected a section payouts"):
        load(path, {})
