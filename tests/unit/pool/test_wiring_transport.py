"""What a front end without a database does with the operator's reserves, as the accountant tells them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from config_file import ADDRESS

from chains.subsidies import SUBSIDIES
from pool.accounting.reserve import ReserveGuard
from pool.blocks.solution_store import SolutionStore
from pool.config.configuration import load
from pool.services.scheme_board import BoughtChain
from pool.shares.share_log import ShareLog
from pool.wiring import transport
from pool.wiring.transport import Transport

CONFIG = """\
pool: {{name: test, data_dir: {data}, role: frontend, front_end: eu}}
transport: {{kind: redis, redis_url_file: {url_file}}}
stratum: {{ports: [{{bind: "127.0.0.1:3333"}}]}}
http: {{bind: "127.0.0.1:8080"}}
parent: regbtc
chains:
  regbtc: {{kind: bitcoin, network: regtest, address: {address}, nodes: [{{url: "http://127.0.0.1:1", user: u, password: p}}]}}
"""  # noqa: E501


async def test_wiring_a_front_end_buys_shares_by_the_reserves_it_hears_of(tmp_path, monkeypatch):
    url_file = tmp_path / "redis-url"
    url_file.write_text("redis://127.0.0.1:1/0")
    url_file.chmod(0o600)
    path = tmp_path / "pool.yaml"
    path.write_text(CONFIG.format(data=tmp_path, url_file=url_file, address=ADDRESS))
    said = []
    guard = ReserveGuard(100, 200)
    bought = {"regbtc": BoughtChain(SUBSIDIES["bitcoin", "regtest"], 0, guard)}
    mining = SimpleNamespace(
        schemes=SimpleNamespace(bought=bought), scheme_changed=lambda chain, change: said.append((chain, change))
    )
    heard = []
    made = transport.ShareFeed

    def feed(*arguments, on_reserves, **options):
        heard.append(on_reserves)
        return made(*arguments, on_reserves=on_reserves, **options)

    monkeypatch.setattr(transport, "ShareFeed", feed)
    share_log = ShareLog(
        tmp_path / "shares", loop=asyncio.get_running_loop(), on_durable=lambda sequence: None,
        on_error=lambda error: None, consumed=(transport.BEGINNING, 0),
    )  # fmt: skip
    ends = Transport(load(path, {}))
    try:
        assert ends.connect(share_log, SolutionStore(tmp_path / "solutions"), None, mining) is None
        [hear] = heard
        assert guard.suspended, "until it has heard of a reserve"
        hear({"other": 5})
        assert guard.suspended and said == []
        hear({"regbtc": 150})
        hear({"regbtc": 150})
        hear({"regbtc": 99})
        assert guard.suspended
        hear({"regbtc": 200})
        assert not guard.suspended
    finally:
        await ends.close()
        share_log.close()
    assert said == [("regbtc", "restored"), ("regbtc", "low"), ("regbtc", "restored")]


async def test_wiring_a_disk_that_fails_at_a_stop_is_told_and_stops_nothing_else(tmp_path, caplog):
    url_file = tmp_path / "redis-url"
    url_file.write_text("redis://127.0.0.1:1/0")
    url_file.chmod(0o600)
    path = tmp_path / "pool.yaml"
    path.write_text(CONFIG.format(data=tmp_path, url_file=url_file, address=ADDRESS))
    made = Transport(load(path))

    async def step():
        raise OSError(5, "Input/output error")

    made.feed = SimpleNamespace(step=step, close=lambda: None)
    await made.feed_last()
    await made.close()
    assert "is not fed, the next start feeds it: [Errno 5] Input/output error" in caplog.text
