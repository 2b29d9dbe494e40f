"""`pool status` and `pool top` ask a running pool over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from pool.cli import status
from pool.cli.commands import commands

POOL = {
    "now_ms": 61_000, "started_ms": 1_000, "connections": 3,
    "shares": {"accepted": 5, "accepted_work": 60, "rejected": {"stale": 2}}, "chains": {},
}  # fmt: skip
CHAINS = {"items": [{"name": "regbtc", "state": "ok", "in_tree": True, "height": 7}]}


class Pool(BaseHTTPRequestHandler):
    trouble = ""

    def do_GET(self) -> None:
        answers = {"/api/v1/pool": POOL, "/api/v1/chains": CHAINS, "/healthz": {"error": self.trouble}}
        self.send_response(503 if self.path == "/healthz" and self.trouble else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answers[self.path]).encode())

    def log_message(self, *arguments: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Pool, "trouble", "")
    server = HTTPServer(("127.0.0.1", 0), Pool)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_cli_status_tells_pool_and_chains(url: str) -> None:
    found = CliRunner().invoke(commands, ["status", "--url", url])
    assert found.exit_code == 0
    assert "connections 3, up 1 min" in found.output and "5 accepted, 2 stale" in found.output
    assert "regbtc   ok      height     7" in found.output


def test_cli_status_ends_with_1_when_the_pool_is_not_well(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "trouble", "the parent chain regbtc is down")
    found = CliRunner().invoke(commands, ["status", "--url", url])
    assert found.exit_code == 1 and "the parent chain regbtc is down" in found.stderr and "regbtc" in found.stdout


def test_cli_status_ends_with_1_when_nobody_answers() -> None:
    found = CliRunner().invoke(commands, ["status", "--url", "http://127.0.0.1:1"])
    assert found.exit_code == 1 and "no answer from http://127.0.0.1:1" in found.stderr


def test_cli_status_wants_one_place_to_ask() -> None:
    assert CliRunner().invoke(commands, ["status"]).exit_code == 2
    assert CliRunner().invoke(commands, ["top", "--url", "http://a", "-c", "x.yaml"]).exit_code == 2


def test_cli_top_prints_lines_on_a_pipe_and_goes_on_while_nobody_answers(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter((None, KeyboardInterrupt()))

    def sleep(seconds: float) -> None:
        step = next(rounds)
        if step is not None:
            raise step

    monkeypatch.setattr(status.time, "sleep", sleep)
    found = CliRunner().invoke(commands, ["top", "--url", url])
    assert found.exit_code == 0 and found.output.count("connections 3") == 2
    rounds = iter((KeyboardInterrupt(),))
    gone = CliRunner().invoke(commands, ["top", "--url", "http://127.0.0.1:1"])
    assert gone.exit_code == 0 and gone.output == "no answer from http://127.0.0.1:1\n"


@pytest.mark.parametrize(
    ("bind", "address"),
    [("0.0.0.0:8080", "http://127.0.0.1:8080"), ("[::]:80", "http://[::1]:80"), ("localhost:1", "http://localhost:1")],
)
def test_cli_status_asks_where_the_configuration_listens(
    bind: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("pool.devnet.demo.snapshot.health", lambda url: asked.append(url) or "away")
    monkeypatch.setattr("pool.devnet.demo.snapshot.take_snapshot", lambda url, meter: None)
    CliRunner().invoke(commands, ["status", "-c", "deploy/devnet.yaml", "--set", f"http.bind={bind}"])
    assert asked == [address]
