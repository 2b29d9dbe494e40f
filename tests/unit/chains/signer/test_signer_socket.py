from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from coincurve import PublicKeyXOnly

from chains.signer.promises import PromisesError
from chains.signer.signer import AlreadyPromisedError
from chains.signer.unix_socket import LINE_BYTES, SignerClient, SignerUnavailableError

ONE, TWO = b"\x01" * 32, b"\x02" * 32


class Process:
    """The signer as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "socket"
        self.child: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> str:
        """Its first line, empty when it ended."""
        files = ["--key", str(self.folder / "key"), "--promises", str(self.folder / "promises")]
        command = [sys.executable, "-m", "chains.signer.run", *files, "--socket", str(self.socket), *options]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.child.stdout is not None
        return self.child.stdout.readline()

    def end(self, *, kill: bool = False) -> int:
        assert self.child is not None
        if kill:
            self.child.kill()
        else:
            self.child.terminate()
        self.child.communicate()
        return self.child.returncode


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    if process.child is not None and process.child.poll() is None:
        process.end(kill=True)


async def test_signer_socket_signs_and_refuses_across_kill_and_restart(process: Process) -> None:
    assert process.start("--new").startswith("READY pid=")
    client = SignerClient(process.socket)
    key = PublicKeyXOnly(await client.public_key())
    signature = await client.sign("bk", b"slot", ONE)
    assert key.verify(signature, ONE)
    process.end(kill=True)
    with pytest.raises(SignerUnavailableError):
        await client.sign("bk", b"slot", ONE)
    assert process.start().startswith("READY")
    assert await client.sign("bk", b"slot", ONE) == signature
    with pytest.raises(AlreadyPromisedError) as caught:
        await client.sign("bk", b"slot", TWO)
    assert caught.value.promised == ONE
    assert process.end() == 0 and not process.socket.exists()


async def test_signer_socket_is_the_owners_alone_and_there_is_one_signer(process: Process) -> None:
    process.start("--new")
    assert process.socket.stat().st_mode & 0o777 == 0o600
    other = Process(process.folder)
    other.socket = process.folder / "other"
    assert other.start() == ""
    assert other.child is not None and other.child.wait() == 1
    _, said = other.child.communicate()
    assert "in use by another signer" in said
    assert len(await SignerClient(process.socket).public_key()) == 32


async def test_signer_socket_wrong_questions_promise_nothing(process: Process) -> None:
    process.start("--new")
    client = SignerClient(process.socket)
    with pytest.raises(PromisesError, match="a digest of 31 bytes"):
        await client.sign("bk", b"slot", bytes(31))
    reader, writer = await asyncio.open_unix_connection(process.socket)
    for line in (b"nonsense", b"[]", b'{"purpose": 1, "slot": "", "digest": ""}', b'{"purpose": "x"}', b"[" * 1000):
        writer.write(line + b"\n")
        assert json.loads(await reader.readline()) == {"error": "expected purpose, slot and digest"}
    writer.write(b"x" * (LINE_BYTES + 10) + b"\n")
    assert await reader.read() == b""
    writer.close()
    await client.sign("bk", b"slot", ONE)


async def test_signer_socket_many_ask_at_once_and_one_digest_wins(process: Process) -> None:
    process.start("--new")
    client = SignerClient(process.socket)
    digests = [bytes([number]) * 32 for number in range(20)]
    found = await asyncio.gather(*(client.sign("bk", b"slot", d) for d in digests), return_exceptions=True)
    assert sum(isinstance(one, bytes) for one in found) == 1
    promised = {one.promised for one in found if isinstance(one, AlreadyPromisedError)}
    assert promised == {digests[next(at for at, one in enumerate(found) if isinstance(one, bytes))]}


def test_signer_program_says_what_is_wrong(process: Process) -> None:
    assert process.start() == ""
    assert process.child is not None
    _, said = process.child.communicate()
    assert process.child.returncode == 1 and said.startswith("signer: ") and "key: No such file" in said
