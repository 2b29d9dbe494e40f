"""Connections that log in, and the lines that they will send: shares that were found before, and wrong ones."""

from __future__ import annotations

import json
import random
import resource
import socket
import struct
from pathlib import Path
from typing import Any

from chains.primitives.share_kernel import ShareKernel, target_bytes
from chains.primitives.target import difficulty_to_target

USER = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
MASK = 0x1FFFE000
# What is wrong with a share, and the code that it has to be refused with.
WRONG = {"duplicate": 22, "job": 21, "time": 20, "version": 20, "hex": 20, "length": 20, "worker": 24}


class Connection:
    """Logged in; `job` is the notify's parameters, `difficulty` what it came under."""

    def __init__(self, port: int, number: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.worker = f"{USER}.w{number}"
        self.job: list[Any] = []
        self.extranonce1 = b""
        self.difficulty = 0.0

    def ask(self) -> None:
        mask = {"version-rolling.mask": f"{MASK:08x}", "version-rolling.min-bit-count": 2}
        for number, method, params in (
            (1, "mining.configure", [["version-rolling"], mask]),
            (2, "mining.subscribe", ["bench/1"]),
            (3, "mining.authorize", [self.worker, "x"]),
        ):
            line = json.dumps({"id": number, "method": method, "params": params}) + "\n"
            self.socket.sendall(line.encode())

    def hear(self) -> None:
        """Reads until the first job."""
        self.socket.settimeout(60)
        held = b""
        while not self.job or held:
            data = self.socket.recv(65536)
            if not data:
                raise SystemExit("the server hung up at the login")
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        if line.get("method") == "mining.notify":
            self.job = line["params"]
        elif line.get("method") == "mining.set_difficulty":
            self.difficulty = float(line["params"][0])
        elif line.get("id") == 2:
            self.extranonce1 = bytes.fromhex(line["result"][1])
        elif line.get("error"):
            raise SystemExit(f"the login was refused: {line}")

    def close(self) -> None:
        self.socket.close()


def connect(port: int, count: int) -> list[Connection]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    for number in range(count):
        connections.append(Connection(port, number))
        connections[-1].ask()
    for connection in connections:
        connection.hear()
    return connections


def prepare(connections: list[Connection], shares: int, bad: float, path: Path, turn: int = 0) -> None:
    """Writes the file that send_shares reads: real shares of each connection's job, `bad` of them made wrong. Another
    `turn` makes other shares of the same job."""
    chance = random.Random(shares + turn)
    each = -(-shares // len(connections))
    left = shares
    with path.open("wb") as file:
        file.write(struct.pack("<I", len(connections)))
        for connection in connections:
            lines = _lines(connection, min(each, left), bad, chance)
            left -= len(lines)
            file.write(struct.pack("<II", connection.socket.fileno(), len(lines)))
            for code, line in lines:
                file.write(struct.pack("<HH", code, len(line)) + line)


def _lines(connection: Connection, count: int, bad: float, chance: random.Random) -> list[tuple[int, bytes]]:
    job_id, previous, first, second, branch, version, bits, ntime, _ = connection.job
    words = bytes.fromhex(previous)
    previous_hash = b"".join(words[at : at + 4][::-1] for at in range(0, 32, 4))
    size = 4 + len(connection.extranonce1)
    kernel = ShareKernel(
        bytes.fromhex(first), bytes.fromhex(second), size, bytes.fromhex("".join(branch)), previous_hash, int(bits, 16)
    )
    target = target_bytes(difficulty_to_target(connection.difficulty, "sha256d"))
    lines: list[tuple[int, bytes]] = []
    sent: list[list[str]] = []
    start = chance.getrandbits(24) << 8
    nonce = 0
    while len(lines) < count:
        if sent and chance.random() < bad:
            code, params = _wrong(chance, list(chance.choice(sent)))
        else:
            extranonce2 = (start + len(lines) & 0xFFFFFFFF).to_bytes(4, "big")
            rolled = (len(lines) + 1 << 13) & MASK
            header_version = int(version, 16) & ~MASK | rolled
            met = 0
            while not met & 1:
                nonce = nonce + 1 & 0xFFFFFFFF
                _, met = kernel.judge(
                    connection.extranonce1, extranonce2, header_version, int(ntime, 16), nonce, target, target
                )
            code = 0
            params = [connection.worker, job_id, extranonce2.hex(), ntime, f"{nonce:08x}", f"{rolled:08x}"]
            sent.append(params)
        line = b'{"id":%d,"method":"mining.submit","params":["%b"]}\n' % (len(lines), '","'.join(params).encode())
        lines.append((code, line))
    return lines


def _wrong(chance: random.Random, params: list[str]) -> tuple[int, list[str]]:
    """A good share that was sent before, spoilt in one way."""
    what = chance.choice(sorted(WRONG))
    if what == "duplicate":
        params = [params[0], params[1].upper(), *(word.upper() for word in params[2:])]
    elif what == "job":
        params[1] = "f" + params[1]
    elif what == "time":
        params[3] = f"{int(params[3], 16) + 100_000:08x}"
    elif what == "version":
        params[5] = "00000001"
    elif what == "hex":
        params[4] = "zz" + params[4][2:]
    elif what == "length":
        params[2] += "00"
    else:
        params[0] = params[0] + "x"
    return WRONG[what], params
