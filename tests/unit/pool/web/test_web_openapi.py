"""The API as it is documented: against the routes, against the copy in docs/reference, and against what is answered to
thousands of odd questions (schemathesis)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from web_site import ADA, ADA_ALPHA, BOB, BooksInThread, Live, Site, counted_registry

from pool.storage.database import Database
from pool.web.openapi import openapi
from pool.web.server import WebServer

ROOT = Path(__file__).parents[4]
EXAMPLES = 20
"""Questions of each kind per operation; the suite has little time."""

KNOWN = {
    "address": st.sampled_from([ADA, BOB, ADA_ALPHA]),
    "chain": st.sampled_from(["regbtc", "alpha"]),
    "hash": st.sampled_from(["1" * 64, "2" * 64, "3" * 64]),
}
NOTHING_SET: dict[str, object] = {"offline_notice": None, "chains": {}}


class NoSettings:
    """What would be asked about miners' settings; no question of a stranger gets this far with a good signature."""

    async def settings(self, address: str) -> dict[str, object]:
        return {"address": address, "next_number": 1, "template": "t", "frozen": None} | NOTHING_SET

    async def apply(self, address: str, message: str, signature: str) -> dict[str, object]:
        return {"address": address, "number": 1, "again": False, "released": []} | NOTHING_SET


@pytest.fixture
async def whole_site(database: Database) -> AsyncIterator[str]:
    server = WebServer(Live(), BooksInThread(database), counted_registry(), NoSettings())
    # A thousand posts from one client are too many for anybody but this test.
    server._routes._posts.burst = 10**9
    await server.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


def test_web_openapi_names_every_route_of_the_api_and_no_other() -> None:
    server = WebServer(Live(), None, counted_registry(), NoSettings())  # type: ignore[arg-type]
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in server._application().router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }
    documented = {(method, path) for path, methods in openapi()["paths"].items() for method in methods}
    assert documented == routes


def test_web_openapi_copy_in_the_docs_is_current() -> None:
    page = (ROOT / "docs/reference/openapi.json").read_text()
    assert page == json.dumps(openapi(), indent=1) + "\n", "python -m pool.web.openapi > docs/reference/openapi.json"


async def test_web_openapi_is_served(site: Site) -> None:
    assert await site.ask("/api/v1/openapi.json") == (200, openapi())


OPERATIONS = [(path, method) for path, methods in openapi()["paths"].items() for method in methods]
QUESTIONS = [
    (path, method, kind)
    for path, method in OPERATIONS
    for kind in ("known", "good", "bad")
    if kind == "good" or openapi()["paths"][path][method].get("parameters")
]


@pytest.mark.parametrize(("path", "method", "kind"), QUESTIONS)
async def test_web_openapi_holds_whatever_is_asked(whole_site: str, path: str, method: str, kind: str) -> None:
    """Good questions, about what is there too, and bad ones: never a 500, every answer as it is documented."""
    schema = schemathesis.openapi.from_dict(openapi())
    schema.config.update(base_url=whole_site)
    mode = GenerationMode.NEGATIVE if kind == "bad" else GenerationMode.POSITIVE

    @seed(1)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=schema[path][method].as_strategy(generation_mode=mode), data=st.data())
    def holds(case: schemathesis.Case, data: st.DataObject) -> None:
        if kind == "known":
            for name in case.path_parameters or {}:
                case.path_parameters[name] = data.draw(KNOWN[name])
        case.validate_response(case.call())

    await asyncio.to_thread(holds)
