"""A real Redis server for tests: Debian's, in a folder of its own, on a free loopback port, gone with the run.

It keeps nothing on disk, which is the worst case: a restart is empty. Each test that shares the server has a pool name
of its own, so that no keys meet.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from pool.devnet.demo.children import Child
from support.ports import free_port

START_S = 20.0
PASSWORD = "redis-secret"


class RedisServer:
    """One server. `kill` and `start` in between are an outage after which it is empty; `close` ends it."""

    def __init__(self) -> None:
        self._program = shutil.which("redis-server")
        assert self._program is not None, "redis-server is not installed: run `sh tests/install-parts.sh`"
        self._folder = Path(tempfile.mkdtemp(prefix="parapool-redis-"))
        self._port = free_port()
        self._child: Child | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """With a password, which no log may ever show."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Until it answers."""
        assert self._program is not None
        command = [
            self._program, "--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._folder),
            "--requirepass", PASSWORD, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
        ]  # fmt: skip
        self._child = Child("redis", command, self._folder / "redis.log")
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                self.ask("ping")
                return
            except redis.ConnectionError as error:
                ended = self._child.exit_code() is not None
                assert not ended and time.monotonic() < deadline_s, f"{error}\n{self._child.log_text()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9: what was in it is gone."""
        assert self._child is not None
        self._child.process.kill()
        self._child.process.wait()

    def pause(self) -> None:
        assert self._child is not None
        self._child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._child is not None
        self._child.process.send_signal(signal.SIGCONT)

    def ask(self, *words: Any) -> Any:
        """A command, by its words."""
        connection = redis.Redis.from_url(self.url, socket_timeout=5)
        try:
            return connection.execute_command(*words)
        finally:
            connection.close()

    def close(self) -> None:
        if self._child is not None and self._child.exit_code() is None:
            self.go_on()
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def left_behind(self) -> list[str]:
        """After close(): what should not be there any more."""
        folder = [str(self._folder)] if self._folder.exists() else []
        return folder + ["the server"] * (self._child is not None and self._child.exit_code() is None)
