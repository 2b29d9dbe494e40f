"""Three chains of reference nodes in this process, for a doctor to look at and a test to plant faults in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from ruamel.yaml import YAML
from support.ports import free_port

from chains.devnet_nodes import DEVNET_NODES
from chains.reference.node import Faults
from chains.reference.server import Changes, Server
from chains.reference.settings import NodeSettings
from chains.reference.wallet import address
from pool.config.configuration import Config, load
from pool.doctor.doctor import examine
from pool.doctor.finding import Finding, Result

KINDS = {"regbtc": "bitcoin", "regnmc": "auxpow", "alpha": "mm2"}
BITS = 0x1F0FFFFF
LOGIN = "devnet"

Lie = Callable[[Any], Any]


class Node(Server):
    """A reference node whose answers a test may bend: `lies` gives a method another result, `date` is the HTTP Date."""

    def __init__(self, name: str, data_dir: Path) -> None:
        changes = Changes()
        settings = NodeSettings(
            KINDS[name], name, 0, LOGIN, LOGIN, data_dir, seed=name, bits=BITS,
            context_name=name if KINDS[name] == "mm2" else "",
        )  # fmt: skip
        self.devnet = DEVNET_NODES[settings.kind](settings, lambda: int(time.time()), changes)
        self.lies: dict[str, Lie] = {}
        self.date: str | None = None
        self.calls: list[str] = []
        super().__init__(settings, self.devnet, changes)

    @property
    def faults(self) -> Faults:
        return self.devnet.node.faults

    async def _handle(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read() or b"{}")
        self.calls.append(call.get("method", ""))
        response = await super()._handle(request)
        lie = self.lies.get(call.get("method", ""))
        if lie is not None and response.status != 401:
            before = json.loads(response.body or b"{}")  # type: ignore[arg-type]
            try:
                answer = {**before, "result": lie(before["result"]), "error": None}
            except LookupError as error:
                answer = {**before, "result": None, "error": {"code": -32601, "message": str(error)}}
            response = web.json_response(answer)
        if self.date is not None:
            response.headers["Date"] = self.date
        return response


class DoctorWorld:
    """The file that a pool would be started with, and its nodes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: dict[str, Node] = {}
        self.stratum_port, self.http_port = free_port(), free_port()
        self.values: dict[str, Any] = {}

    async def start(self) -> None:
        urls = {}
        for name in KINDS:
            self.nodes[name] = Node(name, self.directory / "nodes" / name)
            urls[name] = f"http://127.0.0.1:{await self.nodes[name].start()}"
        self.values = {
            "pool": {"name": "doctored", "data_dir": str(self.directory / "data")},
            "stratum": {"ports": [{"bind": f"127.0.0.1:{self.stratum_port}"}]},
            "http": {"bind": f"127.0.0.1:{self.http_port}"},
            "parent": "regbtc",
            "chains": {
                name: {
                    "kind": kind,
                    "family": "devnet",
                    "address": address(name, 0),
                    "nodes": [{"url": urls[name], "user": LOGIN, "password": LOGIN}],
                }
                for name, kind in KINDS.items()
            },
        }
        self.values["chains"]["regnmc"]["chain_id"] = 1
        self.values["chains"]["alpha"]["context_name"] = "alpha"

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.close()

    def chain(self, name: str) -> dict[str, Any]:
        return dict(self.values["chains"])[name]

    def node_section(self, name: str) -> dict[str, Any]:
        return dict(self.chain(name)["nodes"][0])

    def set_node(self, name: str, **changes: Any) -> None:
        section = self.chain(name)["nodes"][0]
        section.update(changes)
        for key in [key for key, value in section.items() if value is None]:
            del section[key]

    @property
    def path(self) -> Path:
        """The file as it stands now."""
        path = self.directory / "pool.yaml"
        with path.open("w") as file:
            YAML(typ="safe").dump(self.values, file)
        return path

    @property
    def config(self) -> Config:
        return load(self.path, {})

    async def examine(self) -> list[Finding]:
        return await examine(self.config)

    async def wrong(self) -> dict[str, Finding]:
        """What is wrong, by `subject check`."""
        return picked(await self.examine(), Result.WRONG)


def picked(findings: list[Finding], result: Result) -> dict[str, Finding]:
    return {f"{f.subject} {f.check}": f for f in findings if f.result is result}
