"""TLS and proxies at the ports of a running pool, as its configuration says; a renewed certificate by a reload."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from pathlib import Path
from typing import Any

from config_file import ADDRESS
from prometheus_client import generate_latest
from support.ports import free_port

from pool.config.configuration import load
from pool.wiring.process import RunningPool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tls"
CONFIG = """\
pool: {{name: test, data_dir: {folder}/data}}
stratum:
  ports:
    - bind: "127.0.0.1:{stratum}"
      tls: {{certificate_file: {folder}/certificate.pem, key_file: {folder}/key.pem}}
      proxy_protocol_from: [127.0.0.1]
http: {{bind: "127.0.0.1:{http}"}}
parent: regbtc
chains:
  regbtc: {{kind: bitcoin, network: regtest, address: {address}, nodes: [{{url: "http://127.0.0.1:1", user: u, password: p}}]}}
"""  # noqa: E501


async def test_wiring_opens_a_port_with_tls_behind_a_proxy(
    reactor: Any, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(FIXTURES / name, tmp_path / name)
    (tmp_path / "key.pem").chmod(0o600)
    path, port = tmp_path / "pool.yaml", free_port()
    path.write_text(CONFIG.format(folder=tmp_path, stratum=port, http=free_port(), address=ADDRESS))
    config = load(path, {})
    assert config.stratum.ports[0].url == f"stratum+ssl://127.0.0.1:{port}"
    pool = RunningPool(config)
    task = asyncio.create_task(pool.run())
    try:
        async with asyncio.timeout(60):
            while not pool._tasks:
                assert not task.done()
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PROXY TCP4 203.0.113.7 127.0.0.1 5 6\r\n")
            trusting = ssl.create_default_context(cafile=str(FIXTURES / "certificate.pem"))
            await writer.start_tls(trusting, server_hostname="localhost")
            writer.write(b'{"id":1,"method":"mining.subscribe","params":["test"]}\n')
            assert b'"id":1' in await reader.readline()
            [connection] = pool.mining.servers[4].connections
            assert connection.remote_address == "203.0.113.7"
            told = f'parapool_certificate_end_timestamp_seconds{{port="127.0.0.1:{port}"}} '
            assert told in generate_latest(pool._registry()).decode()
            ports = pool.mining.ports
            ports.certificates.clear()
            ports.read_certificates()
            assert ports.certificates.keys() == {f"127.0.0.1:{port}"}, "as one tells whose front ends listen"
            (tmp_path / "key.pem").write_text("half of a key")
            assert await pool.reload()
            assert "a certificate cannot be used, the former one stays" in caplog.text
            writer.close()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert await RunningPool(config).run() == 1
    assert "the certificate of 127.0.0.1" in capsys.readouterr().err
