"""Templates and static files of the pages. Everything a template prints is escaped unless it is ours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pool.miners.amount import COIN_DIGITS
from pool.web.plot import HEIGHT, WIDTH, plot
from pool.web.units import amount_text, difficulty_text, duration_text, hashrate_text

FOLDER = Path(__file__).parent

CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
DIGEST_LETTERS = 12


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the pages: `digest` changes with its content, and so does the address it is asked for by."""

    name: str
    content: bytes
    content_type: str
    digest: str


def static_files() -> dict[str, StaticFile]:
    """By name; read once, served from memory."""
    files = {}
    for path in sorted((FOLDER / "static").iterdir()):
        if path.suffix in CONTENT_TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:DIGEST_LETTERS]
            files[path.name] = StaticFile(path.name, content, CONTENT_TYPES[path.suffix], digest)
    return files


class Templates:
    """Renders pool/web/templates. Each template gets the words that it is given and those of every page."""

    def __init__(self, statics: dict[str, StaticFile]) -> None:
        environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {
            "hashrate": hashrate_text,
            "difficulty": difficulty_text,
            "coins": lambda amount: amount_text(amount, COIN_DIGITS),
            "duration": lambda ms: duration_text(ms / 1000),
            "count": lambda number: f"{number:,}",
            "iso": _iso,
            "words": lambda text: text.replace("_", " "),
            "plot": plot,
        }
        environment.globals |= {"plot_width": WIDTH, "plot_height": HEIGHT}
        environment.globals["static"] = lambda name: f"/static/{name}?v={statics[name].digest}"
        self._environment = environment

    def render(self, name: str, **words: Any) -> str:
        return self._environment.get_template(name).render(**words)


def _iso(time_ms: int) -> str:
    """A time as machines read it, to the second. Times before 1970 or after 9999 are not told."""
    seconds = min(max(0, time_ms // 1000), 253_402_300_799)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
