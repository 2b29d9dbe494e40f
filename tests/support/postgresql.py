"""A real PostgreSQL server for tests: Debian's, in a folder of its own, on a free loopback port, gone with the run.

It refuses to run as root, so there it runs as another user. Durability is off: no test turns the power off. One
database, brought to the newest schema, is the pattern from which each test gets a copy.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from pool.devnet.demo.children import Child
from pool.storage.database import upgrade
from support.ports import free_port

START_S = 60.0
STOP_S = 60.0
PATTERN = "pattern"
PASSWORD = "secret-word"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class PostgresqlServer:
    """One server. `stop` and `start` in between are an outage; `close` ends it and takes its folder away. With
    `asks_password` it lets nobody in without PASSWORD."""

    def __init__(self, *, asks_password: bool = False) -> None:
        self._programs = _programs()
        self._user = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="parapool-postgresql-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        self.port = free_port()
        self._child: Child | None = None
        self._copies = 0
        try:
            options = ["-D", str(self._data), "-U", "parapool", "-E", "UTF8", "--locale=C", "--no-sync"]
            options += ["-A", "trust"] if not asks_password else ["-A", "scram-sha-256", self._password_option()]
            made = subprocess.run(
                self._command("initdb", *options), cwd=self._folder, capture_output=True, text=True, check=False
            )
            assert made.returncode == 0, made.stdout + made.stderr
            self.start()
            self._make(PATTERN)
            upgrade(self.url(PATTERN))
        except BaseException:
            self.close()
            raise

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database. The password is seldom asked for; no log may ever show it."""
        return f"postgresql+psycopg://parapool:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def program(self, name: str) -> str:
        """The path of one of its programs, such as pg_restore."""
        return str(self._programs / name)

    def _password_option(self) -> str:
        path = self._folder / "password"
        path.write_text(PASSWORD)
        return f"--pwfile={path}"

    def start(self) -> None:
        """Until it takes connections."""
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = self._command("postgres", "-D", str(self._data), "-p", str(self.port), *settings)
        self._child = Child("postgresql", command, self._folder / "postgresql.log")
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                self._connect("postgres").close()
                return
            except psycopg.OperationalError as error:
                ended = self._child.exit_code() is not None
                assert not ended and time.monotonic() < deadline_s, f"{error}\n{self._child.log_text()}"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all sessions in order, SIGQUIT is as good as a crash."""
        assert self._child is not None
        self._child.process.send_signal(how)
        self._child.process.wait(STOP_S)

    def pause(self) -> None:
        """The server and all its sessions hang: connections stay, nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal_all(signal.SIGCONT)

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a database of the test's own, with the newest schema unless `empty`; dropped afterwards."""
        self._copies += 1
        name = f"copy{self._copies}"
        self._make(name, None if empty else PATTERN)
        try:
            yield self.url(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        if self._child is not None and self._child.exit_code() is None:
            self.go_on()
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def left_behind(self) -> list[str]:
        """After close(): what should not be there any more."""
        folder = [str(self._folder)] if self._folder.exists() else []
        return folder + ["the server"] * (self._child is not None and self._child.exit_code() is None)

    def _make(self, name: str, pattern: str | None = None) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(pattern or "template0")))

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect("postgres") as connection:
            connection.execute(statement)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="parapool", password=PASSWORD, dbname=database, autocommit=True,
            connect_timeout=5,
        )  # fmt: skip

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        if os.getuid() != 0:
            return command
        # A change of user takes the death signal away that Child asked for: it is asked for again.
        user = [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *user, "--pdeathsig=INT", "--", *command]

    def _signal_all(self, number: signal.Signals) -> None:
        """To the server first, then to its sessions, each of which leads a group of its own."""
        assert self._child is not None
        self._child.process.send_signal(number)
        for pid in Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text().split():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(int(pid), number)


def _programs() -> Path:
    """The newest installed version's folder of programs."""
    found = {int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("[0-9]*/bin")}
    usable = [path for _, path in sorted(found.items()) if (path / "initdb").exists() and (path / "postgres").exists()]
    if usable:
        return usable[-1]
    on_path = shutil.which("initdb")
    assert on_path is not None, "postgresql is not installed: run `sh tests/install-parts.sh`"
    return Path(on_path).resolve().parent


def _user() -> pwd.struct_passwd:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    return pwd.getpwnam("nobody")

