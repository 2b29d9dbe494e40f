"""Who leaves when: the silent at once, the others evenly, the biggest last; with connections that only remember."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from pool.services.drain import IDLE_SHARES, Drain

INTERVAL_S = 20.0


class FakeConnection:
    def __init__(self, name: str, difficulty: float, last_share: float, ready: bool = True) -> None:
        self.name = name
        self.remote_address = "192.0.2.1"
        self.stays = True
        self.problem: Exception | None = None
        self.aborted: str | None = None
        self.session = SimpleNamespace(
            ready=ready,
            policy=SimpleNamespace(share_interval_s=INTERVAL_S),
            assignment=SimpleNamespace(difficulty=difficulty),
            deadlines=SimpleNamespace(last_valid_share=last_share),
        )

    def leave(self) -> None:
        if self.problem is not None:
            raise self.problem
        self.stays = False

    def abort(self, reason: str) -> None:
        self.aborted = reason


class FakeServer:
    def __init__(self, *connections: FakeConnection) -> None:
        self.connections = set(connections)
        self.open = True
        self.problem: Exception | None = None

    def shut(self) -> None:
        self.open = False

    def reopen(self) -> None:
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        self.open = True


def _drain(*servers: Any, **more: Any) -> tuple[Drain, list[float]]:
    time = [1000.0]
    return Drain(servers, clock=lambda: time[0], **more), time


def _names(connections: list[Any]) -> list[str]:
    return [connection.name for connection in connections]


def test_drain_takes_the_idle_first_and_the_biggest_last() -> None:
    idle = FakeConnection("idle", 1e9, 1000.0 - IDLE_SHARES * INTERVAL_S)
    anonymous = FakeConnection("anonymous", 1.0, 1000.0, ready=False)
    active = [FakeConnection(f"d{difficulty}", difficulty, 990.0) for difficulty in (64, 1, 1024, 8)]
    servers = FakeServer(idle, *active[:2]), FakeServer(anonymous, *active[2:])
    drain, _ = _drain(*servers)
    drain.begin(400.0)
    assert not any(server.open for server in servers)
    assert sorted(_names(drain.due(1000.0))) == ["anonymous", "idle"]
    asked = [(now, _names(drain.due(now))) for now in (1001.0, 1099.0, 1101.0, 1300.0, 1301.0, 1400.0, 9999.0)]
    assert [(now, names) for now, names in asked if names] == [
        (1001.0, ["d1"]), (1101.0, ["d8"]), (1300.0, ["d64"]), (1301.0, ["d1024"]),
    ]  # fmt: skip


def test_drain_spreads_many_evenly_over_the_time() -> None:
    drain, _ = _drain(FakeServer(*(FakeConnection(str(n), n, 1000.0) for n in range(6000))))
    drain.begin(1200.0)
    counts = [len(drain.due(1000.0 + second)) for second in range(1, 1201)]
    assert sum(counts) == 6000 and set(counts) <= {4, 5, 6}
    drain.begin(0.0)
    assert len(drain.due(1000.0)) == 6000, "no time at all: everybody"


async def test_drain_runs_to_its_end_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parapool")
    good, broken = FakeConnection("good", 1.0, 1000.0), FakeConnection("broken", 2.0, 1000.0)
    broken.problem = RuntimeError("ours")
    server = FakeServer(good, broken)
    drain, time = _drain(server, tick_s=0.001)
    running = asyncio.create_task(drain.run())
    drain.begin(10.0)
    state = drain.state()
    assert (state.draining, state.here, state.leaving, state.ends_in_s) == (True, 2, 0, 10.0)
    time[0] += 11.0
    async with asyncio.timeout(10):
        while broken.aborted is None:
            await asyncio.sleep(0.001)
    assert not good.stays and broken.aborted == "internal", "an error costs one connection"
    assert drain.state().leaving == 1 and drain.state().ends_in_s == 0.0
    server.connections.clear()
    async with asyncio.timeout(10):
        while "drain is through" not in caplog.text:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert caplog.text.count("drain is through") == 1
    drain.end()
    assert server.open and not drain.draining and drain.state().over_s == 0.0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_drain_that_cannot_end_shuts_every_port_again() -> None:
    good, taken = FakeServer(FakeConnection("one", 1.0, 1000.0)), FakeServer()
    drain, _ = _drain(good, taken)
    drain.begin(100.0)
    taken.problem = OSError("taken")
    with pytest.raises(OSError, match="taken"):
        drain.end()
    assert drain.draining and not good.open and not taken.open and drain.due(2000.0) == []
    drain.end()
    assert good.open and taken.open and not drain.draining


def test_drain_ended_early_leaves_the_rest_in_peace() -> None:
    server = FakeServer(*(FakeConnection(str(n), n, 1000.0) for n in range(4)))
    drain, _ = _drain(server)
    drain.end()
    assert server.open, "nothing to end is no mistake"
    drain.begin(100.0)
    assert len(drain.due(1026.0)) == 2
    drain.end()
    assert server.open and drain.due(2000.0) == []
