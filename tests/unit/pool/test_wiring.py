"""The running pool as a whole, without nodes or miners: how it starts, why it does not, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

import pytest
from config_file import ADDRESS
from sqlalchemy import text
from support.ports import free_port

from pool.config.configuration import ConfigError, HttpSection, load
from pool.data_dir import StartError, claim_name, lock_data_dir
from pool.storage.database import Database, sqlite_url, upgrade
from pool.wiring import keeping, mining, process
from pool.wiring.process import RunningPool

CONFIG = """\
pool: {{name: test, data_dir: {data}}}
stratum: {{ports: [{{bind: "127.0.0.1:{stratum}"}}]}}
http: {{bind: "127.0.0.1:{http}"}}
parent: regbtc
chains:
  regbtc: {{kind: bitcoin, network: regtest, address: {address}, nodes: [{{url: "http://127.0.0.1:1", user: u, password: p}}]}}
  regnmc: {{kind: auxpow, family: devnet, chain_id: 1, address: {address}, nodes: [{{url: "http://127.0.0.1:2"}}]}}
  alpha: {{kind: mm2, context_name: alpha, address: {address}, nodes: [{{url: "http://127.0.0.1:3"}}]}}
"""  # noqa: E501


@pytest.fixture
def config(tmp_path):
    ports = {"stratum": free_port(), "http": free_port()}

    def make(**overrides):
        path = tmp_path / "pool.yaml"
        path.write_text(CONFIG.format(**({"data": tmp_path / "data", "address": ADDRESS} | ports | overrides)))
        return load(path, {})

    return make


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, caplog):
    """Whatever a test does: afterwards no thread of the pool runs, and its data folder is free."""
    caplog.set_level(logging.INFO, "parapool")
    before = set(threading.enumerate())
    yield
    left = [t.name for t in threading.enumerate() if t not in before and not t.name.startswith("uvloop_")]
    assert left == []
    lock_data_dir(tmp_path / "data").close()


async def get(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


@contextlib.asynccontextmanager
async def running(config):
    """The pool, started; stopped cleanly at the end unless it ended by itself."""
    pool = RunningPool(config)
    task = asyncio.create_task(pool.run())
    while not task.done() and not pool._tasks:
        await asyncio.sleep(0.005)
    pool.run_task = task
    try:
        yield pool
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_wiring_counts_an_address_over_the_ports_of_both_extranonce2_sizes(reactor, config):
    ports = free_port(), free_port()
    both = f'{ports[0]}"}}, {{extranonce2_size: 8, bind: "127.0.0.1:{ports[1]}'
    async with running(config(stratum=both)) as pool:
        pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", ports[n % 2]) for n in range(40)))
        async with asyncio.timeout(30):
            while sum(pool.status.connection_results.values()) < 40:
                await asyncio.sleep(0.01)
        assert pool.status.connection_results["address_rate"] > 0, "20 at once for both ports, not for each"
        assert set(pool.mining.servers) == {4, 8}
        for _, writer in pairs:
            writer.close()


# -- starts that fail ---------------------------------------------------------------------------------------------


async def refused(config, capsys) -> str:
    """The one sentence of a start that fails."""
    async with asyncio.timeout(20):
        assert await RunningPool(config).run() == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("pool: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


@pytest.mark.parametrize("which", ["stratum", "http"])
async def test_wiring_does_not_start_on_a_port_in_use(reactor, config, capsys, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in await refused(config(**{which: port}), capsys)


async def test_wiring_starts_after_a_failed_start(reactor, config, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        await refused(config(stratum=taken.getsockname()[1]), capsys)
    async with running(config()) as pool:
        assert not pool.run_task.done()


async def test_wiring_does_not_share_a_data_folder(reactor, config, capsys, tmp_path):
    lock = lock_data_dir(tmp_path / "data")
    assert "is in use by another pool process" in await refused(config(), capsys)
    with pytest.raises(StartError):
        lock_data_dir(tmp_path / "data")
    lock.close()


async def test_wiring_does_not_touch_the_database_of_a_newer_version(reactor, config, capsys, tmp_path):
    async with running(config()):
        pass
    [path] = (tmp_path / "data").glob("*.sqlite*")
    database = Database(sqlite_url(path))
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    database.close()
    assert "from-the-future" in await refused(config(), capsys)


@pytest.mark.parametrize("folder", ["shares", "solutions"])
async def test_wiring_does_not_start_where_it_cannot_write(reactor, config, capsys, tmp_path, folder):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / folder).write_text("a file where a folder belongs")
    assert folder in await refused(config(), capsys)


async def test_wiring_stops_what_it_started_when_the_start_breaks_in_an_unexpected_way(reactor, config, monkeypatch):
    monkeypatch.setattr(process, "registry_of", lambda status: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await RunningPool(config()).run()


# -- running and stopping ---------------------------------------------------------------------------------------------


async def test_wiring_serves_while_its_nodes_are_away(reactor, config):
    async with running(config()) as pool:
        assert "the parent chain regbtc is down" in await get(pool.web.port, "/healthz")
        assert '"name":"regnmc"' in (await get(pool.web.port, "/api/v1/chains")).replace(" ", "")
        assert "parapool_chain_up" in await get(pool.web.port, "/metrics")


async def test_wiring_stops_miners_then_shares_then_books_then_the_rest(reactor, config, monkeypatch):
    order: list[str] = []

    def told(owner, name, word):
        original = getattr(owner, name)

        def wrapped(*arguments, **words):
            order.append(word)
            return original(*arguments, **words)

        monkeypatch.setattr(owner, name, wrapped)

    async with running(config()) as pool:
        [server] = pool.mining.servers.values()
        told(server, "stop_listening", "no new miners")
        told(type(pool.share_log), "close", "shares durable")
        told(server, "stop", "miners gone")
        told(pool.mining.blocks, "drain", "submissions")
        told(pool.keeping.bookkeeping, "catch_up", "books")
        told(pool.web, "stop", "web")
        told(pool.keeping.views, "close", "views")
        told(pool.books.database, "close", "database")
    assert list(dict.fromkeys(order)) == [
        "no new miners", "shares durable", "miners gone", "submissions", "books", "web", "views", "database",
    ]  # fmt: skip


async def test_wiring_ends_with_1_when_a_service_breaks(reactor, config, monkeypatch, caplog):
    async def broken(self) -> None:
        await asyncio.sleep(0.01)
        raise RuntimeError("refresh broke")

    monkeypatch.setattr(mining.JobBroadcast, "refresh", broken)
    async with running(config()) as pool, asyncio.timeout(20):
        assert await pool.run_task == 1
    assert "pool stops: a service broke: RuntimeError('refresh broke')" in caplog.text
    assert caplog.records[-1].getMessage() == "pool stopped"


async def test_wiring_ends_with_1_when_shares_can_no_longer_be_written(reactor, config, caplog):
    async with running(config()) as pool, asyncio.timeout(20):
        pool._share_log_failed(OSError(28, "No space left on device"))
        assert not pool.status.accepting and "accepts no shares" in await get(pool.web.port, "/healthz")
        assert await pool.run_task == 1
    assert "the share log cannot be written" in caplog.text


async def test_wiring_stops_in_full_when_the_books_cannot_be_brought_up_to_date(reactor, config, monkeypatch, caplog):
    async def broken(self) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeping.Bookkeeping, "catch_up", broken)
    async with running(config()):
        pass
    assert "the next start takes them in" in caplog.text and caplog.records[-1].getMessage() == "pool stopped"


async def test_wiring_goes_on_while_the_books_cannot_be_read(reactor, config, monkeypatch):
    monkeypatch.setattr(keeping, "BLOCK_COUNTS_S", 0.01)
    asked = 0

    async def fails():
        nonlocal asked
        asked += 1
        raise keeping.SQLAlchemyError("database is locked")

    async with running(config()) as pool:
        monkeypatch.setattr(pool.keeping.views, "block_counts", fails)
        while asked < 3:
            await asyncio.sleep(0.01)
        assert not pool.run_task.done()


async def test_wiring_answers_from_the_books_while_their_own_thread_is_busy(reactor, config):
    """A long write, or a disk that is slow: readers neither wait for it nor are waited for."""
    busy = threading.Event()
    async with running(config()) as pool:
        pool.keeping.sql.submit(busy.wait, 60)
        try:
            async with asyncio.timeout(30):
                assert "200 OK" in await get(pool.web.port, "/api/v1/blocks")
                assert "404" in await get(pool.web.port, f"/api/v1/miners/{ADDRESS}")
        finally:
            busy.set()


async def test_wiring_resumes_unfinished_submissions(reactor, config, monkeypatch, caplog):
    resumed: list[int] = []
    monkeypatch.setattr(mining.BlockSubmission, "resume", lambda self: resumed.append(1) or 7)
    async with running(config()):
        await asyncio.sleep(0)
    assert resumed == [1] and "resumed=7" in caplog.text


# -- another configuration ------------------------------------------------------------------------------------------

BETA = """\
  beta: {{kind: mm2, context_name: beta, address: {address}, nodes: [{{url: "http://127.0.0.1:4"}}]}}
"""


@contextlib.asynccontextmanager
async def reloadable(config, monkeypatch):
    """The pool started, and what it reads when it is told to read again."""
    first = config()
    after: list[Any] = [first]

    def read():
        if isinstance(after[-1], Exception):
            raise after[-1]
        return after[-1]

    monkeypatch.setattr(process.RunningPool.__init__, "__defaults__", (read,))
    async with running(first) as pool:
        yield pool, after


async def test_wiring_adds_and_removes_a_chain_while_it_runs(reactor, config, monkeypatch, caplog):
    async with reloadable(config, monkeypatch) as (pool, after):
        monkeypatch.setattr(sys.modules[__name__], "CONFIG", CONFIG.replace("  alpha:", BETA + "  alpha:"))
        after.append(config())
        assert await pool.reload()
        assert list(pool.mining.chains) == ["regbtc", "regnmc", "beta", "alpha"]
        assert '"name":"beta"' in (await get(pool.web.port, "/api/v1/chains")).replace(" ", "")
        assert "configuration taken over: added=beta" in caplog.text
        after.append(after[0])
        assert await pool.reload()
        assert list(pool.mining.chains) == ["regbtc", "regnmc", "alpha"] and list(pool.mining.left) == ["beta"]
        assert '"name":"beta"' not in (await get(pool.web.port, "/api/v1/chains")).replace(" ", "")
        followed = pool.mining.left["beta"]
        after.append(after[1])
        assert await pool.reload()
        assert pool.mining.chains["beta"] is followed and not pool.mining.left, "its blocks were followed all the time"
        await asyncio.sleep(0.1)
        assert not pool.run_task.done()


async def test_wiring_keeps_everything_when_a_new_configuration_is_not_good(reactor, config, monkeypatch, caplog):
    async with reloadable(config, monkeypatch) as (pool, after):
        for problem, words in (
            (ConfigError(["pool.yaml:3: http.bind: expected an address"]), "not taken over: pool.yaml:3: http.bind"),
            (after[0].model_copy(update={"http": HttpSection(bind="127.0.0.1:1")}), "http: a change needs a restart"),
            (PermissionError(13, "Permission denied", "secret"), "Permission denied"),
        ):
            after.append(problem)
            assert not await pool.reload()
            assert words in caplog.text
            assert pool.config is after[0] and list(pool.mining.chains) == ["regbtc", "regnmc", "alpha"]
        os.kill(os.getpid(), signal.SIGHUP)
        after.append(after[0])
        async with asyncio.timeout(10):
            while "configuration taken over: nothing changed" not in caplog.text:
                await asyncio.sleep(0.01)


async def test_wiring_changes_terms_for_who_is_connected(reactor, config, monkeypatch):
    async with reloadable(config, monkeypatch) as (pool, after):
        [port] = after[0].stratum.ports
        reader, writer = await asyncio.open_connection(*port.address)
        login = f"{ADDRESS}+beta=same.rig"
        writer.write(
            b'{"id":1,"method":"mining.subscribe","params":[]}\n'
            + json.dumps({"id": 2, "method": "mining.authorize", "params": [login, "x"]}).encode() + b"\n"
        )  # fmt: skip
        while b'"id":2,"result":true' not in (await reader.readline()).replace(b" ", b""):
            pass
        [server] = pool.mining.servers.values()
        [connection] = server.connections
        assert "beta" not in connection.session.users[login].route.accounts
        monkeypatch.setattr(
            sys.modules[__name__], "CONFIG",
            CONFIG.replace("  alpha:", BETA + "  alpha:")
            .replace('{stratum}"}}', '{stratum}", start_difficulty: 64, minimum_difficulty: 32}}')
            .replace("name: test", "name: test, fee_ppm: 7"),
        )  # fmt: skip
        after.append(config())
        assert await pool.reload()
        assert connection.session.users[login].route.accounts["beta"].kind == "miner", "he named an address for it"
        assert connection.session.policy.minimum_difficulty == 32
        assert connection.difficulty_for(0) >= 32
        assert pool.keeping.bookkeeping._following["regnmc"].terms.fee_ppm == 7
        assert list(server.connections) == [connection] and not reader.at_eof()
        writer.close()


# -- small parts ----------------------------------------------------------------------------------------------------


def test_wiring_upgrades_a_database_that_is_not_there_yet(tmp_path):
    upgrade(sqlite_url(tmp_path / "new" / "pool.sqlite"))
    assert (tmp_path / "new" / "pool.sqlite").exists()


def test_wiring_a_data_folder_keeps_the_name_it_has_in_the_books(tmp_path):
    claim_name(tmp_path, "one")
    claim_name(tmp_path, "one")
    with pytest.raises(StartError, match="belongs to the pool 'one'"):
        claim_name(tmp_path, "two")
