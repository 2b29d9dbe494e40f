"""`pool devnet up` as somebody types it: nodes, miner, lines; a killed node comes back; Ctrl-C ends all of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from support.network import until
from support.ports import free_ports

from pool.devnet.demo.children import pool_command


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def started(command: list[str], log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


async def test_network_up_shows_a_network_that_survives_kill_and_ends_cleanly(tmp_path: Path) -> None:
    port = free_ports(20)
    command = pool_command(
        "devnet", "up", "--kind", "bk", "--nodes", "3", "--k", "2", "--seconds", "2",
        "--data-dir", str(tmp_path / "net"), "--port", str(port),
    )  # fmt: skip
    log_path = tmp_path / "up.log"
    child = started(command, log_path)

    async def blocks() -> bool:
        assert child.poll() is None, log_path.read_text()
        return re.search(r"3 nodes agree on height [2-9]", log_path.read_text()) is not None

    async def is_back() -> bool:
        text = log_path.read_text()
        return re.search(r"2 nodes agree.*1 do not answer(.|\n)*\n3 nodes agree", text) is not None or (
            re.search(rf"node1 process (?!{victim}:)\d+: peers 2", text) is not None
        )

    try:
        await until(blocks, "the network has blocks", 120)
        pids = [int(pid) for pid in re.findall(r"^  \w+ +process (\d+), ", log_path.read_text(), re.MULTILINE)]
        assert len(pids) == 4
        victim = pids[1]
        os.kill(victim, signal.SIGKILL)
        await until(is_back, "the killed node is back")
    finally:
        child.send_signal(signal.SIGINT)
        code = await asyncio.to_thread(child.wait, 60)
    text = log_path.read_text()
    assert code == 0, text[-3000:]
    assert "was killed" not in text and "Traceback" not in text
    assert not any(running(pid) for pid in pids)


def test_network_up_names_ports_that_are_taken(tmp_path: Path) -> None:


    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ("--data-dir", str(tmp_path), "--port", str(port))
        command = pool_command("devnet", "up", "--kind", "parallel", "--nodes", "1", *options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"port {port} for node0's peers is in use already; choose another with --port" in done.stderr
