"""The demo's table and plain lines, and where they get their figures."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any, ClassVar

import pytest
from rich.console import Console

from pool.devnet.demo.display import LiveView, plain_lines
from pool.devnet.demo.snapshot import HashrateMeter, Snapshot, health, take_snapshot
from pool.web.units import amount_text, duration_text, hashrate_text

POOL: dict[str, Any] = {
    "started_ms": 0, "now_ms": 125_000, "connections": 1,
    "shares": {"accepted": 1200, "accepted_work": 125_000_000, "rejected": {"low_difficulty": 2, "stale": 1}},
    "chains": {
        "regbtc": {
            "blocks": {"submitted": 0, "immature": 10, "mature": 12, "orphan": 1, "rejected": 0, "lost": 0},
            "immature": 49_500_000_000, "available": 59_400_000_000, "fee": 1_100_000_000,
        }
    },
}  # fmt: skip
CHAINS: list[dict[str, Any]] = [
    {"name": "regbtc", "kind": "bitcoin", "height": 1023, "state": "ok", "in_tree": True},
    {"name": "alpha", "kind": "mm2", "height": None, "state": "down", "in_tree": False},
    {"name": "beta", "kind": "mm2", "height": 5, "state": "ok", "in_tree": False},
]
SNAPSHOT = Snapshot(POOL, CHAINS, 1_000_000.0)


def rendered(width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(LiveView(SNAPSHOT))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def cells_of(lines: list[str], chain: str) -> list[str]:
    (row,) = [line for line in lines if line.startswith(f"│ {chain}")]
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_demo_table_shows_each_chain_in_one_row():
    lines = rendered(140)
    assert lines[0] == "hashrate 1.0 MH/s, connections 1, up 2 min"
    assert lines[1] == "shares: 1,200 accepted, 2 low difficulty, 1 stale"
    assert [cell.strip() for cell in lines[3].strip("┃").split("┃")] == [
        "chain", "state", "height", "blocks found", "credits immature", "credits available", "fee"
    ]  # fmt: skip
    assert cells_of(lines, "regbtc") == [
        "regbtc", "ok", "1,023", "10 immature, 12 mature, 1 orphan", "49,500,000,000", "59,400,000,000", "1,100,000,000"
    ]  # fmt: skip
    assert cells_of(lines, "alpha") == ["alpha", "down", "?", "none yet", "0", "0", "0"]
    assert cells_of(lines, "beta")[1] == "ok, not in jobs"
    assert len(lines) == 2 + 3 + len(CHAINS) + 1


def test_demo_table_of_a_narrow_terminal_has_the_credits_below_each_other():
    lines = rendered(80)
    assert cells_of(lines, "regbtc") == ["regbtc", "ok", "1,023", "10 immature", "immature 49,500,000,000"]
    assert lines[6].split("│")[-3:-1] == [" 12 mature    ", " available 59,400,000,000 "]
    assert lines[7].split("│")[-3:-1] == [" 1 orphan     ", "        fee 1,100,000,000 "]


def test_demo_table_gives_way_to_lines_where_it_has_no_room():
    assert rendered(70)[2:6] == [
        "regbtc: ok, height 1,023", "  blocks: 10 immature, 12 mature, 1 orphan",
        "  immature 49,500,000,000, available 59,400,000,000, fee 1,100,000,000", "alpha: down, height ?",
    ]  # fmt: skip


@pytest.mark.parametrize("width", range(30, 160))
def test_demo_table_fits_and_cuts_no_figure_at_any_width(width: int):
    lines = rendered(width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for figure in ("1,023", "49,500,000,000", "59,400,000,000", "1,100,000,000", "immature", "ok, not in jobs"):
        assert figure in text
    assert "…" not in text


def test_demo_plain_lines_have_no_control_characters():
    lines = plain_lines(SNAPSHOT)
    assert len(lines) == 1 + len(CHAINS)
    assert "1,200 accepted" in lines[0]
    assert "blocks: 10 immature, 12 mature, 1 orphan" in lines[1]
    assert "credits immature=49500000000 available=59400000000 fee=1100000000" in lines[1]
    assert "down" in lines[2] and "blocks: none yet" in lines[2]
    assert all(line.isprintable() for line in lines)


def test_demo_hashrate_is_that_of_the_last_minute():
    meter = HashrateMeter()

    def at(now_s: int, work: int) -> float:
        return meter.rate({"started_ms": 0, "now_ms": now_s * 1000, "shares": {"accepted_work": work}})

    assert at(10, 1000) == 100, "since the start at first"
    assert at(20, 4000) == 200
    assert at(80, 4000) == 0, "nothing in the last minute"
    assert at(140, 7000) == 50
    assert at(141, 0) == 0, "never negative"


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0 H/s"), (999, "999 H/s"), (1000, "1.0 kH/s"), (99_949, "99.9 kH/s"), (123_456_789, "123 MH/s"),
     (999_499_999, "999 MH/s"), (999_500_000, "1.0 GH/s"), (2**80, "1.2 YH/s")],
)  # fmt: skip
def test_demo_hashrate_text(rate: int, text: str):
    assert hashrate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (11_100, "3 h 05 min"), (187_200, "2 d 4 h")],
)
def test_demo_duration_text(seconds: float, text: str):
    assert duration_text(seconds) == text


def test_demo_amounts_are_exact():
    assert amount_text(2_100_000_000_000_001) == "2,100,000,000,000,001"


class _Answers(http.server.BaseHTTPRequestHandler):
    paths: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:
        status, body = self.paths.get(self.path, (404, b"{}"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_demo_snapshot_ignores_the_environments_proxy(site: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    chains = json.dumps({"items": CHAINS}).encode()
    _Answers.paths = {"/api/v1/pool": (200, json.dumps(POOL).encode()), "/api/v1/chains": (200, chains)}
    assert take_snapshot(site, HashrateMeter()) == SNAPSHOT


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"not JSON"), (200, b"{}")])
def test_demo_snapshot_of_a_pool_that_cannot_say_is_none(site: str, answer: tuple[int, bytes]):
    _Answers.paths = {"/api/v1/pool": (200, b"{}"), "/api/v1/chains": answer}
    assert take_snapshot(site, HashrateMeter()) is None


def test_demo_health_says_why(site: str):
    _Answers.paths = {"/healthz": (503, b'{"error": "the parent chain is down"}')}
    assert health(site) == "the parent chain is down"
    _Answers.paths = {"/healthz": (200, b"ok\n")}
    assert health(site) is None
    assert (health("http://127.0.0.1:9") or "").startswith("no answer from http://127.0.0.1:9: ")


def test_demo_display_tells_of_blocks_that_the_pool_leads() -> None:
    for leading, said in ((None, "fee=0"), ({"ready": True, "led": 7, "refused": 0}, "led=7"),
                          ({"ready": False, "led": 7, "refused": 0}, "led=7, nothing can be signed now")):  # fmt: skip
        chain = {"name": "votes", "kind": "bk", "height": 5, "state": "ok", "in_tree": True, "leading": leading}
        assert plain_lines(Snapshot(POOL, [chain], 0.0))[1].endswith(said)
