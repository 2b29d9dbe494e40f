"""Answers as they are sent: JSON, pages and files, with the headers that tell a browser what it may do with them."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from pool.web.rendering import StaticFile

JSON_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Server": "parapool",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": JSON_POLICY,
}
STATIC_KEPT = "public, max-age=31536000, immutable"
"""Under its digest a file never changes."""


async def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        if name == "Server" or name not in response.headers:
            response.headers[name] = value


def static_answer(file: StaticFile, asked_digest: str | None) -> web.Response:
    """A file of the pages, kept for ever by whoever asked for this very content."""
    kept = STATIC_KEPT if asked_digest == file.digest else "no-cache"
    return web.Response(body=file.content, content_type=file.content_type, headers={"Cache-Control": kept})


def json_answer(payload: dict[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(payload, separators=(",", ":")) + "\n", content_type="application/json")


def page_answer(html: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    policy = {"Content-Security-Policy": PAGE_POLICY}
    return web.Response(status=status, text=html, content_type="text/html", headers={**policy, **(headers or {})})


def error_answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps({"error": sentence}) + "\n"
    retry = {"Retry-After": "5"} if status == 503 else {}
    return web.Response(status=status, text=body, content_type="application/json", headers={**retry, **(headers or {})})
