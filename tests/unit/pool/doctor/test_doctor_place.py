"""What the doctor says of the pool's own place: folder, disk, ports, database, Redis."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from doctor_world import DoctorWorld

from pool.config.configuration import Config
from pool.doctor import books_checks, place_checks
from pool.doctor.books_checks import database_finding, redis_findings
from pool.doctor.finding import Finding, Result, in_thread
from pool.doctor.place_checks import folder_findings, port_findings
from pool.storage.database import upgrade

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


@contextmanager
def listener(host: str = "127.0.0.1") -> Iterator[int]:
    """A program that has a port."""
    with socket.socket() as taken:
        taken.bind((host, 0))
        taken.listen()
        yield taken.getsockname()[1]


def folder(config: Config) -> Finding:
    return folder_findings(config)[0]


def disk(config: Config) -> Finding:
    return folder_findings(config)[1]


async def test_doctor_is_content_with_a_folder_that_is_there_or_can_be_made(world: DoctorWorld) -> None:
    config = world.config
    assert folder(config).result is Result.GOOD and "will be made" in folder(config).found
    config.pool.data_dir.mkdir()
    assert folder(config) == Finding("pool", "data folder", Result.GOOD, str(config.pool.data_dir))


async def test_doctor_finds_a_folder_that_cannot_be_written(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told as the system tells it: root may write everywhere."""
    config = world.config
    closed: list[Path] = [config.pool.data_dir.parent]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in closed)
    assert folder(config).result is Result.WRONG and "pool.data_dir" in folder(config).remedy
    config.pool.data_dir.mkdir()
    (config.pool.data_dir / "pool.sqlite").touch()
    assert folder(config).result is Result.GOOD
    closed[:] = [config.pool.data_dir / "pool.sqlite"]
    found = folder(config)
    assert found.result is Result.WRONG and "pool.sqlite" in found.found and "chown -R" in found.remedy


async def test_doctor_finds_a_folder_that_is_none_or_another_pools(world: DoctorWorld) -> None:
    config = world.config
    config.pool.data_dir.touch()
    assert folder(config).result is Result.WRONG
    config.pool.data_dir.unlink()
    config.pool.data_dir.mkdir()
    (config.pool.data_dir / "name").write_text("doctored\n")
    assert folder(config).result is Result.GOOD
    (config.pool.data_dir / "name").write_text("another\n")
    assert folder(config).result is Result.WRONG and "pool.name back to 'another'" in folder(config).remedy


@pytest.mark.parametrize(
    ("free", "result"),
    [(GIB - 1, Result.WRONG), (GIB, Result.NOTE), (10 * GIB - 1, Result.NOTE), (10 * GIB, Result.GOOD)],
)
async def test_doctor_finds_a_disk_that_is_nearly_full(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch, free: int, result: Result
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))
    found = disk(world.config)
    assert found.result is result and (result is Result.GOOD or "Make room" in found.remedy)


async def test_doctor_finds_a_disk_without_files_left(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_checks, "FEW_FILES", 2**63)
    found = disk(world.config)
    assert found.result is Result.WRONG or os.statvfs("/").f_files == 0


async def ports(world: DoctorWorld) -> dict[str, Finding]:
    return {finding.check.removeprefix("port "): finding for finding in await port_findings(world.config)}


async def test_doctor_finds_a_port_that_another_program_has(world: DoctorWorld) -> None:
    with listener() as port:
        bind = world.values["stratum"]["ports"][0]["bind"] = f"127.0.0.1:{port}"
        found = (await ports(world))[bind]
    assert found.result is Result.WRONG and f":{port})" in found.remedy and "stratum.ports.0.bind" in found.remedy


async def test_doctor_knows_this_pools_own_ports(world: DoctorWorld) -> None:
    with listener() as stratum, listener() as other:
        binds = [f"127.0.0.1:{stratum}", f"127.0.0.1:{other}"]
        world.values["stratum"]["ports"] = [{"bind": bind} for bind in binds]
        answer = {"name": "doctored", "stratum": [f"stratum+tcp://{binds[0]}"]}
        application = web.Application()

        async def tell(_: web.Request) -> web.Response:
            return web.json_response(answer)

        application.router.add_get("/api/v1/pool", tell)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", world.http_port).start()
        try:
            found = await ports(world)
            assert [found[bind].result for bind in binds] == [Result.GOOD, Result.WRONG]
            assert found[world.config.http.bind].found == "this pool is at work on it"
            answer["name"] = "somebody else's"
            assert {finding.result for finding in (await ports(world)).values()} == {Result.WRONG}
        finally:
            await runner.cleanup()


async def test_doctor_finds_an_address_of_another_machine(world: DoctorWorld) -> None:
    world.values["http"]["bind"] = "192.0.2.1:8080"  # RFC 5737: nobody's
    found = (await ports(world))["192.0.2.1:8080"]
    assert found.result is Result.WRONG and "http.bind to an address of this machine" in found.remedy


async def test_doctor_says_what_a_forbidden_port_needs(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_checks, "_refusal", lambda host, port: PermissionError(13, "Permission denied"))
    assert all("CAP_NET_BIND_SERVICE" in finding.remedy for finding in (await ports(world)).values())


# -- the books --------------------------------------------------------------------------------------------------------


async def test_doctor_takes_a_database_of_this_version_and_one_that_is_not_there_yet(world: DoctorWorld) -> None:
    config = world.config
    found = await database_finding(config)
    assert found.result is Result.GOOD and "will be made" in found.found
    assert not config.pool.data_dir.exists()
    upgrade(config.database_url())
    found = await database_finding(config)
    assert found.result is Result.GOOD and ", version " in found.found
    assert os.listdir(config.pool.data_dir) == ["pool.sqlite"], "nothing is left beside it, root's least of all"
    with sqlite3.connect(config.pool.data_dir / "pool.sqlite") as at_work:
        at_work.execute("UPDATE alembic_version SET version_num = 'next'")
        at_work.commit()
        assert "does not know: next" in (await database_finding(config)).found, "what is in the WAL is seen"
    at_work.close()


@pytest.mark.parametrize(
    ("version", "result", "words"), [("0001", Result.NOTE, "Back it up"), ("9999", Result.WRONG, "a newer one")]
)
async def test_doctor_reads_the_databases_version(
    world: DoctorWorld, version: str, result: Result, words: str
) -> None:
    config = world.config
    upgrade(config.database_url())
    with sqlite3.connect(config.pool.data_dir / "pool.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    found = await database_finding(config)
    assert found.result is result and words in found.remedy


async def test_doctor_finds_a_damaged_database(world: DoctorWorld) -> None:
    config = world.config
    config.pool.data_dir.mkdir()
    (config.pool.data_dir / "pool.sqlite").write_bytes(b"no database at all" * 1000)
    found = await database_finding(config)
    assert found.result is Result.WRONG and "backup.md" in found.remedy


async def test_doctor_finds_a_database_that_cannot_be_reached(world: DoctorWorld) -> None:
    world.values["pool"]["database_url"] = "postgresql+psycopg://parapool:geheim@127.0.0.1:9/pool"
    found = await database_finding(world.config)
    assert found.result is Result.WRONG and "pool.database_url" in found.remedy
    assert "geheim" not in found.found + found.remedy


async def test_doctor_gives_a_silent_database_up(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_checks, "BOOKS_S", 0.2)
    with listener() as port:
        world.values["pool"]["database_url"] = f"postgresql+psycopg://parapool@127.0.0.1:{port}/pool"
        found = await database_finding(world.config)
    assert found.result is Result.WRONG and "no answer within 0.2 s" in found.found


def _over_redis(world: DoctorWorld, url: str, **pool: str) -> None:
    file = world.directory / "redis.url"
    file.write_text(url + "\n")
    file.chmod(0o600)
    world.values["transport"] = {"kind": "redis", "redis_url_file": str(file)}
    world.values["pool"].update(pool)


async def test_doctor_finds_a_redis_that_is_down_and_asks_for_none_where_there_is_none(world: DoctorWorld) -> None:
    assert await redis_findings(world.config) == []
    _over_redis(world, "redis://:geheim@127.0.0.1:9/0")
    (found,) = await redis_findings(world.config)
    assert found.result is Result.WRONG and "Start Redis" in found.remedy and "geheim" not in found.found


@pytest.mark.parametrize(
    ("info", "result", "words"),
    [
        ({"role": "master", "redis_version": "7.2"}, Result.GOOD, "7.2"),
        ({"role": "slave"}, Result.WRONG, "slave"),
        ({"role": "master", "maxmemory": 1, "maxmemory_policy": "allkeys-lru"}, Result.NOTE, "allkeys-lru"),
        ({"role": "master", "maxmemory": 1, "maxmemory_policy": "noeviction"}, Result.GOOD, "version"),
    ],
)
async def test_doctor_judges_what_redis_says_of_itself(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], result: Result, words: str
) -> None:
    class Told:
        async def info(self) -> dict[str, Any]:
            return info

        async def aclose(self) -> None:
            return

    monkeypatch.setattr(books_checks.Redis, "from_url", lambda *_, **__: Told())
    _over_redis(world, "redis://127.0.0.1/0")
    (found,) = await redis_findings(world.config)
    assert found.result is result and words in found.found


async def test_doctor_waits_for_no_thread_and_hands_its_errors_on() -> None:
    assert await in_thread(lambda: threading.current_thread().daemon)

    def broken() -> None:
        raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        await in_thread(broken)
