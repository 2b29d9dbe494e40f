"""A real Prometheus beside a pool, with the rules of deploy/prometheus made quicker: it looks every second, and what
the rules call minutes are seconds."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
from ruamel.yaml import YAML

from pool.devnet.demo.children import Child
from support.ports import free_port

log = logging.getLogger("tests.devnet")

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
STEP_S = 1
QUICKER = 60
SHORTEST_S = 5
"""Of a range: five looks, so that a rate has its two whatever the machine does; of a `for`, so that a machine that
stands still for a moment raises nothing."""

LIMIT_S = 60.0
_DURATION = re.compile(r"\b(\d+)([smhdw])\b(?=[\]\s)]|$)")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def quicker(expression: str) -> str:
    """The expression with its ranges and offsets a sixtieth as long."""
    return _DURATION.sub(lambda found: f"{max(SHORTEST_S, _seconds(found[0]) // QUICKER)}s", expression)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _UNITS_S[duration[-1]]


class Prometheus:
    """One process, asked over HTTP. Usable as an asynchronous context manager."""

    def __init__(self, directory: Path, *target_ports: int, config_path: Path = RULES / "prometheus.yml") -> None:
        """`config_path` is the shipped file whose targets these ports take the place of."""
        self.directory = directory
        self.port = free_port()
        self.rules: list[dict[str, Any]] = []
        self.began_s = time.time()
        directory.mkdir(parents=True)
        files = []
        for name in ("recording.yml", "alerts.yml"):
            content = YAML(typ="safe").load(RULES / name)
            for group in content["groups"]:
                group["interval"] = f"{STEP_S}s"
                for rule in group["rules"]:
                    rule["expr"] = quicker(rule["expr"])
                    if "for" in rule:
                        rule["for"] = f"{max(SHORTEST_S, _seconds(rule['for']) // QUICKER)}s"
                    self.rules.append(rule)
            files.append(str(directory / name))
            self._write(directory / name, content)
        config = YAML(typ="safe").load(config_path)
        config.pop("alerting", None)  # whom it would have to look for
        config["global"] = {"scrape_interval": f"{STEP_S}s", "evaluation_interval": f"{STEP_S}s"}
        config["rule_files"] = files
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{port}" for port in target_ports
        ]
        config["scrape_configs"][0]["scrape_timeout"] = f"{STEP_S}s"
        self._write(directory / "prometheus.yml", config)
        self.child: Child | None = None
        self.session: aiohttp.ClientSession | None = None

    @staticmethod
    def _write(path: Path, content: Any) -> None:
        with path.open("w") as file:
            YAML(typ="safe").dump(content, file)

    async def __aenter__(self) -> Prometheus:
        self.child = Child(
            "prometheus",
            [
                "prometheus", f"--config.file={self.directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.directory / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            self.directory / "prometheus.log",
        )  # fmt: skip
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S))
        async with asyncio.timeout(LIMIT_S):
            while not await self._is_ready():
                assert self.child.exit_code() is None, self.child.log_text()
                await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self.session is not None and self.child is not None
        await self.session.close()
        self.child.process.terminate()
        await asyncio.to_thread(self.child.process.wait, 20)

    async def _is_ready(self) -> bool:
        assert self.session is not None
        try:
            async with self.session.get(f"http://127.0.0.1:{self.port}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _ask(self, path: str, **parameters: str | float) -> Any:
        assert self.session is not None
        words = {name: str(value) for name, value in parameters.items()}
        async with self.session.post(f"http://127.0.0.1:{self.port}/api/v1/{path}", data=words) as answer:
            content = json.loads(await answer.text())
        assert content["status"] == "success", (parameters, content)
        return content["data"]["result"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector now: `metric` (labels) and `value` (time, text). Raises AssertionError for what is no PromQL."""
        found: list[dict[str, Any]] = await self._ask("query", query=expression)
        return found

    async def series(self, expression: str, since_s: float) -> list[dict[str, Any]]:
        """The matrix from then on, a value for each second."""
        found: list[dict[str, Any]] = await self._ask(
            "query_range", query=expression, start=since_s, end=time.time(), step=STEP_S
        )
        return found

    async def fired(self) -> set[str]:
        """The names of the alerts that have fired at some time."""
        found = await self.series('ALERTS{alertstate="firing"}', self.began_s)
        return {series["metric"]["alertname"] for series in found}

    async def fires(self, *names: str) -> None:
        """Until these alerts have fired, each within its own `for` and two evaluations of its condition."""
        silent, until_s = set(names), time.monotonic() + LIMIT_S
        while silent:
            assert time.monotonic() < until_s, f"without an alert within {LIMIT_S:g} s: {', '.join(sorted(silent))}"
            await asyncio.sleep(0.5)
            silent -= await self.fired()
        rules = {rule["alert"]: rule for rule in self.rules if "alert" in rule}
        for name in names:
            condition_s = await self._first_s(rules[name]["expr"])
            fired_s = await self._first_s(f'ALERTS{{alertname="{name}",alertstate="firing"}}')
            allowed_s = _seconds(rules[name].get("for", "0s")) + 2 * STEP_S
            log.info("%s fired %.0f s after its condition, allowed %d", name, fired_s - condition_s, allowed_s)
            assert fired_s - condition_s <= allowed_s + STEP_S, f"{name}; the last second is the query's own step"

    async def _first_s(self, expression: str) -> float:
        found = await self.series(expression, self.began_s)
        return min(float(series["values"][0][0]) for series in found)
