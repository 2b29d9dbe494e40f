"""Debian's Chromium without a screen, driven by its own DevTools protocol: pages as people get them.

Everything the page's console says, every error and every refused resource is kept, so that a test can demand silence.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

START_S = 60.0
ANSWER_S = 60.0


class Browser:
    """One Chromium with one tab. `width` and scheme are the tab's until they are set anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self.complaints: list[str] = []
        self.requested: list[str] = []

    async def __aenter__(self) -> Browser:
        program = shutil.which("chromium")
        assert program is not None, "the tests need Debian's chromium (tests/install-parts.sh)"
        profile = self._folder / "profile"
        arguments = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        environment = {**os.environ, "HOME": str(self._folder), "LANG": "C.UTF-8"}
        self._process = await asyncio.to_thread(_start, arguments, environment, self._folder / "chromium.log")
        try:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
            port = await self._port(profile / "DevToolsActivePort")
            async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tab = next(target for target in await answer.json() if target["type"] == "page")
            self._socket = await self._session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
            self._reader = asyncio.create_task(self._read())
            for domain in ("Page", "Runtime", "Log", "Network"):
                await self.call(f"{domain}.enable")
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if hasattr(self, "_session"):
            await self._session.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # all of it: a session of its own
            await asyncio.to_thread(self._process.communicate)

    async def _port(self, path: Path) -> int:
        async with asyncio.timeout(START_S):
            while True:
                assert self._process is not None and self._process.poll() is None, "chromium has ended"
                words = await asyncio.to_thread(_first_line, path)
                if words:
                    return int(words)
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            else:
                self._note(told["method"], told["params"])
                self._events.put_nowait(told)

    def _note(self, method: str, words: Mapping[str, Any]) -> None:
        if method == "Log.entryAdded" and words["entry"]["level"] in ("warning", "error"):
            self.complaints.append(f"{words['entry']['text']} {words['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {[a.get('value') for a in words['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {words['exceptionDetails']}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(words["request"]["url"])

    # -- the tab ------------------------------------------------------------------------------------------------------

    async def call(self, method: str, **words: Any) -> dict[str, Any]:
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        await self._socket.send_json({"id": number, "method": method, "params": words})
        async with asyncio.timeout(ANSWER_S):
            answer = await future
        assert "error" not in answer, f"{method}: {answer['error']}"
        found: dict[str, Any] = answer["result"]
        return found

    async def show(self, url: str) -> None:
        """Go to a page and wait until it is there with all that it needs."""
        while not self._events.empty():
            self._events.get_nowait()
        answer = await self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        async with asyncio.timeout(ANSWER_S):
            while (await self._events.get())["method"] != "Page.loadEventFired":
                pass

    async def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """A screen of this size, in light or dark."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def scripts(self, *, enabled: bool) -> None:
        await self.call("Emulation.setScriptExecutionDisabled", value=not enabled)

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def press(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))

    async def tree(self) -> list[dict[str, Any]]:
        """What assistive technology is told: every node with role and name."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            {
                "role": node["role"].get("value"),
                "name": node.get("name", {}).get("value", ""),
                "level": next((p["value"]["value"] for p in node["properties"] if p["name"] == "level"), None),
            }
            for node in nodes
            if not node["ignored"] and "properties" in node
        ]


def _start(arguments: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A group of processes that ends with this one, however that ends: a shell waits for the end of its input."""
    watched = ["sh", "-c", '"$@" </dev/null & cat >/dev/null; kill -KILL 0', "sh", *arguments]
    with log.open("wb") as output:
        return subprocess.Popen(
            watched, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True, env=environment
        )


def _first_line(path: Path) -> str:
    return path.read_text().partition("\n")[0] if path.exists() else ""
