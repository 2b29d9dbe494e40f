"""The signer as a process of its own, behind a Unix socket that its owner alone may use: whoever asks holds the public
key only. One JSON object a line, hex for bytes:

    {"purpose": "bk", "slot": "00…", "digest": "00…"}   →  {"signature": "00…"} | {"promised": "00…"} | {"error": "…"}
    {}                                                   →  {"public_key": "00…"}

`promised` refuses: the slot belongs to that digest. Requests are answered one after the other, each from disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from chains.signer.promises import PromisesError
from chains.signer.signer import AlreadyPromisedError, Signer

log = logging.getLogger("parapool.signer")

LINE_BYTES = 2048
ANSWER_S = 10.0


class SignerUnavailableError(Exception):
    """No answer from the signer's process; nothing is known about what it promised. Ask again."""


class SignerServer:
    """Answers for one signer. The promises' lock makes it the only one, so a socket that is there is a leftover."""

    def __init__(self, signer: Signer, path: Path) -> None:
        self._signer = signer
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        before = os.umask(0o177)  # the socket is 0600 from its first moment
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_BYTES)
        finally:
            os.umask(before)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        with suppress(FileNotFoundError):
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):  # a line that is too long, a caller that left
            pass
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, str]:
        try:
            request = json.loads(line)
            if request == {}:
                return {"public_key": self._signer.public_key.hex()}
            purpose, slot, digest = (request[name] for name in ("purpose", "slot", "digest"))
            if not isinstance(purpose, str):
                raise TypeError
            slot, digest = bytes.fromhex(slot), bytes.fromhex(digest)
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": "expected purpose, slot and digest"}
        try:
            return {"signature": self._signer.sign(purpose, slot, digest).hex()}
        except AlreadyPromisedError as refusal:
            log.warning("refused to sign a second digest purpose=%s slot=%s", purpose, slot.hex())
            return {"promised": refusal.promised.hex()}
        except PromisesError as error:
            log.error("promises cannot be kept, nothing is signed: %s", error)
            return {"error": str(error)}
        except ValueError as error:
            return {"error": str(error)}


class SignerClient:
    """Asks a SignerServer. A connection for each question: they are rare, and none goes stale."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def public_key(self) -> bytes:
        """Raises SignerUnavailableError."""
        return bytes.fromhex((await self._ask({}))["public_key"])

    async def sign(self, purpose: str, slot: bytes, digest: bytes) -> bytes:
        """As Signer.sign. Raises AlreadyPromisedError; PromisesError when the signer refuses for another reason;
        SignerUnavailableError, after which the same question may be asked again."""
        answer = await self._ask({"purpose": purpose, "slot": slot.hex(), "digest": digest.hex()})
        if "promised" in answer:
            raise AlreadyPromisedError(purpose, slot, bytes.fromhex(answer["promised"]))
        if "signature" not in answer:
            raise PromisesError(str(answer.get("error", "no answer that is one")))
        return bytes.fromhex(answer["signature"])

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES)
                try:
                    writer.write(json.dumps(request).encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
            answer = json.loads(line)
        except (OSError, TimeoutError, ValueError) as error:
            raise SignerUnavailableError(f"{self._path}: {error or 'no answer in time'}") from error
        if not isinstance(answer, dict):
            raise SignerUnavailableError(f"{self._path}: an answer that is none")
        return answer
