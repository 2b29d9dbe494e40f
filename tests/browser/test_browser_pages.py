"""The pages in a real Chromium, over the books of ten thousand miners: silent, whole at every width, small and quick,
usable by keyboard, without script, and by those who listen to them."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from pathlib import Path

import pytest
from crowd import BIG, BLOCKS, CHAINS, HOSTILE, SMALL, WORKERS, block_hash
from crowd_site import Crowded
from support.browser import Browser

SPLIT = f"/block/{CHAINS[(BLOCKS - 1) % 3]}/{block_hash(BLOCKS - 1)}"
PAGES = {
    "overview": "/",
    "chains": "/chains",
    "blocks": "/blocks?chain=alpha",
    "split": SPLIT,
    "split-next": f"{SPLIT}?cursor=9900",
    "miner": f"/miner/{BIG}",
    "workers": f"/miner/{BIG}?workers=3",
    "hostile": f"/miner/{SMALL}",
    "connect": "/connect",
    "nobody": "/miner/nobody",
    "nothing": "/no-such-page",
}
SCREENS = ((360, False), (800, True), (1440, False), (360, True), (1440, True))
MAX_PAGE_LETTERS = 64_000
"""Whatever the number of miners."""

FIRST_PAINT_MS = 10_000
"""Far more than the fraction of a second that it takes, for machines that do ten things at once."""

CONTRAST = """(() => {
  const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const [one, two] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5) weak.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)} ${element.textContent}`);
  }
  return weak;
})()"""


@pytest.mark.parametrize("name", PAGES)
async def test_browser_page_is_silent_whole_small_and_readable(
    crowded: Crowded, browser: Browser, pictures: Path | None, name: str
) -> None:
    for width, dark in SCREENS:
        await browser.look(width=width, dark=dark)
        browser.complaints.clear()
        browser.requested.clear()
        await browser.show(crowded.url + PAGES[name])
        where = f"{name} at {width} px {'dark' if dark else 'light'}"
        refused = [words for words in browser.complaints if "status of 404" not in words]
        assert refused == [], where
        assert bool(browser.complaints) == (name in ("nobody", "nothing")), where
        assert [url for url in browser.requested if not url.startswith(crowded.url)] == [], "nothing from elsewhere"
        assert await browser.ask("document.documentElement.scrollWidth <= innerWidth"), f"{where}: it scrolls sideways"
        if width == 1440 or dark:
            assert await browser.ask(CONTRAST) == [], where
        if pictures is not None:
            await browser.picture(pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png")
    assert await browser.ask("document.documentElement.outerHTML.length") < MAX_PAGE_LETTERS
    assert await browser.ask("performance.getEntriesByType('navigation')[0].domComplete") < FIRST_PAINT_MS
    back = await browser.ask("getComputedStyle(document.body).backgroundColor")
    await browser.look(width=1440)
    assert await browser.ask("getComputedStyle(document.body).backgroundColor") != back, "light and dark differ"


@pytest.mark.parametrize("name", PAGES)
async def test_browser_page_says_to_listeners_what_it_shows(crowded: Crowded, browser: Browser, name: str) -> None:
    await browser.look(width=1440)
    await browser.show(crowded.url + PAGES[name])
    tree = await browser.tree()
    roles = [node["role"] for node in tree]
    assert [roles.count(role) for role in ("banner", "main", "contentinfo", "search")] == [1, 1, 1, 1]
    levels = [node["level"] for node in tree if node["role"] == "heading"]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    wordless = [
        node
        for node in tree
        if node["role"] in ("link", "button", "textbox", "table", "navigation", "image", "region", "heading")
        and not node["name"].strip()
    ]
    assert wordless == []
    tables = "[...document.querySelectorAll('table')]"
    assert await browser.ask(f"{tables}.every((t) => [...t.querySelectorAll('th')].every((h) => h.scope))")
    assert await browser.ask("document.documentElement.lang") == "en"
    ids = await browser.ask("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


async def test_browser_keyboard_reaches_the_content_and_the_search(crowded: Crowded, browser: Browser) -> None:
    await browser.look(width=800)
    await browser.show(crowded.url + "/connect")
    await browser.press("Tab", 9)
    assert await browser.ask("document.activeElement.className") == "skip"
    seen = []
    for _ in range(12):
        await browser.press("Tab", 9)
        seen.append(await browser.ask("document.activeElement.id || document.activeElement.textContent"))
        assert await browser.ask("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen[1:6] == ["Overview", "Chains", "Blocks", "Connect", "address"]
    assert "url-1" in seen
    await browser.ask("document.getElementById('address').focus()")
    await browser.call("Input.insertText", text=f" {SMALL} ")
    await browser.press("Enter", 13)
    async with asyncio.timeout(30):
        while not (await browser.ask("location.pathname")).startswith("/miner/"):
            await asyncio.sleep(0.05)
    assert await browser.ask("location.pathname") == f"/miner/{SMALL}"


async def test_browser_hostile_worker_names_stay_words(crowded: Crowded, browser: Browser) -> None:
    await browser.look(width=1440)
    await browser.show(crowded.url + f"/miner/{SMALL}")
    names = await browser.ask("[...document.querySelectorAll('th.worker')].map((cell) => cell.textContent)")
    assert set(names) <= {*WORKERS, "(no name)"} and HOSTILE in names and "{{7*7}}" in names
    assert await browser.ask("document.querySelectorAll('main img, main script, [onerror], [onmouseover]').length") == 0
    assert await browser.ask("document.title") == f"{SMALL} · {crowded.live.name}"


async def test_browser_page_works_without_script(crowded: Crowded, browser: Browser) -> None:
    await browser.look(width=800)
    await browser.scripts(enabled=False)
    try:
        await browser.show(crowded.url + "/connect")
        for path in ("/", f"/miner/{BIG}", "/connect"):
            await browser.show(crowded.url + path)
            assert await browser.ask("[...document.querySelectorAll('[data-copy]')].every((b) => b.hidden)")
            assert len(await browser.ask("document.querySelector('main').innerText")) > 200
    finally:
        await browser.scripts(enabled=True)


async def test_browser_figures_stay_up_to_date_without_a_reload(crowded: Crowded, browser: Browser) -> None:
    await browser.look(width=1440)
    await browser.show(crowded.url + "/")
    await browser.ask("window.isTheSame = true")
    before = crowded.live.workers
    crowded.live.workers = 4_321
    try:
        async with asyncio.timeout(60):
            while "4,321" not in await browser.ask("document.querySelector('.figures').innerText"):
                await asyncio.sleep(0.2)
    finally:
        crowded.live.workers = before
    assert await browser.ask("window.isTheSame")
    assert await browser.ask("document.getElementById('live').textContent") == ""
    shown = await browser.ask("document.querySelector('dd').textContent")
    assert re.fullmatch(r"[\d.]+ [A-Z]?H/s", shown), "written as the server writes it"


async def test_browser_copies_a_line(crowded: Crowded, browser: Browser) -> None:
    await browser.look(width=800)
    await browser.show(crowded.url + "/connect")
    await browser.ask("document.querySelector('[data-copy=url-2]').focus()")
    await browser.press("Enter", 13)
    async with asyncio.timeout(30):
        while not (said := await browser.ask("document.getElementById('live').textContent")):
            await asyncio.sleep(0.05)
    assert said in ("Copied.", "Selected: copy it with Ctrl+C."), "a browser may forbid the clipboard"
    assert await browser.ask("getSelection().toString()") == "stratum+ssl://pool.example:443"
