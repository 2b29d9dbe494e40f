"""What people elsewhere are told: the right lines, together, and never at the pool's cost."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pool.config.notifications import NotificationSection
from pool.data_dir import StartError
from pool.notifications import EVENTS, MOST_WAITING, Notifications, open_places

ROOT = Path(__file__).parents[3]
EVERYTHING = frozenset(EVENTS.values())


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("parapool.test_notifications")
    made.setLevel(logging.INFO)
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)
        handler.close()


def test_notifications_know_lines_that_the_pool_really_writes() -> None:
    paths = [path for path in (ROOT / "pool").rglob("*.py") if path.name != "notifications.py"]
    source = "\n".join(path.read_text() for path in paths)
    for beginning in EVENTS:
        assert f'"{beginning}' in source, f"nothing writes a line that begins with {beginning!r}"


def test_notifications_tell_each_place_its_events_in_one_message(logger: logging.Logger) -> None:
    all_of_it: list[str] = []
    blocks: list[str] = []

    def send(title: str, text: str) -> bool:
        all_of_it.append(f"{title}: {text}")
        return True

    places = [(EVERYTHING, send), (frozenset({"block_found"}), lambda title, text: bool(blocks.append(text)) or True)]
    logger.addHandler(Notifications(places, "mine", gather_s=0.2))  # type: ignore[arg-type]
    logger.info("block credited chain=%s height=%d", "namecoin", 7)
    logger.info("job sent id=%s", "1")
    logger.warning("block orphaned chain=%s\nforged", "alpha")
    logger.critical("a service broke")
    [handler] = logger.handlers
    handler.close()
    assert all_of_it == [
        "parapool mine: block credited chain=namecoin height=7\nblock orphaned chain=alpha\\nforged\na service broke"
    ]
    assert blocks == ["block credited chain=namecoin height=7"]


def test_notifications_never_hold_up_the_pool(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parapool.notifications")
    hanging, told = threading.Event(), []

    def send(title: str, text: str) -> bool:
        hanging.wait(20)
        told.append(text)
        return False

    handler = Notifications([(EVERYTHING, send)], "mine", gather_s=0.01)
    logger.addHandler(handler)
    logger.error("alarm: first")
    time.sleep(0.1)
    begun = time.monotonic()
    for number in range(MOST_WAITING + 50):
        logger.error("alarm: %d", number)
    assert time.monotonic() - begun < 5, "a service that hangs costs the pool nothing"
    hanging.set()
    handler.close()
    assert told[0] == "alarm: first" and "more, see the log" in told[1]
    assert [r.getMessage() for r in caplog.records if r.name == "parapool.notifications"] == [
        "a notification did not arrive place=0"
    ]


def test_notifications_reach_a_real_webhook(logger: logging.Logger, tmp_path: Path) -> None:
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing on the test's output."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url_file = tmp_path / "url"
        url_file.write_text(f"json://127.0.0.1:{server.server_port}/hook\n")
        places = list(open_places([NotificationSection(url_file=str(url_file), events=("chain_left",))]))
        handler = Notifications(places, "mine", gather_s=0.01)
        logger.addHandler(handler)
        logger.warning("chain leaves chain=%s state=%s", "alpha", "down")
        handler.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert got[0]["title"] == "parapool mine" and got[0]["message"] == "chain leaves chain=alpha state=down"


@pytest.mark.parametrize(("text", "words"), [("", "there is none"), ("nosuch://x\n", "a service that Apprise knows")])
def test_notifications_do_not_start_without_a_usable_url(tmp_path: Path, text: str, words: str) -> None:
    url_file = tmp_path / "url"
    url_file.write_text(text)
    with pytest.raises(StartError, match=words):
        list(open_places([NotificationSection(url_file=str(url_file))]))
    with pytest.raises(StartError, match=r"notifications\.0"):
        list(open_places([NotificationSection(url_file=str(tmp_path / "missing"))]))
