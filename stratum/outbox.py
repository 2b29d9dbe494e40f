"""What a session has to say and has not yet handed on, in order."""

from __future__ import annotations

from stratum import messages
from stratum.errors import StratumError


class Outbox:
    """Whole lines only."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def take(self) -> bytes:
        """Everything so far as one write; a lone line goes on as it is, so that a job's bytes are shared by all."""
        chunks = self._chunks
        if len(chunks) == 1:
            return chunks.pop()
        data = b"".join(chunks)
        chunks.clear()
        return data

    def line(self, line: bytes) -> None:
        """A line made by messages.py or by the pool."""
        self._chunks.append(line)

    def true(self, request_id: bytes) -> None:
        """The answer to a good share, the most frequent line of all."""
        self._chunks.append(b'{"id":%b,"result":true,"error":null}\n' % request_id)

    def result(self, request_id: bytes, value: object) -> None:
        self._chunks.append(messages.result(request_id, value))

    def error(self, request_id: bytes, error: StratumError) -> None:
        self._chunks.append(messages.error(request_id, error.wire))

    def message(self, text: str) -> None:
        """client.show_message: a sentence for the person at the miner."""
        self._chunks.append(messages.show_message(text))
