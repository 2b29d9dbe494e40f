"""Where peers may be found, and which of these addresses to dial when. Pure.

An address is a hint: who is there, its hello proves. A source says addresses, the best first; the list in the
configuration is the first source, others may follow it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 60_000
OWN_ADDRESS_PAUSE_MS = 3_600_000
MAX_OUTBOUND = 16


class AddressError(ValueError):
    """No HOST:PORT; the message says what was expected."""


class PeerSource(Protocol):
    """May change its mind between two calls."""

    def addresses(self) -> Sequence[str]: ...


class ConfiguredPeers:
    """The operator's list, as HOST:PORT. Raises AddressError."""

    def __init__(self, addresses: Sequence[str]) -> None:
        for address in addresses:
            split_address(address)
        self._addresses = tuple(dict.fromkeys(addresses))

    def addresses(self) -> Sequence[str]:
        return self._addresses


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPV6]:PORT`. Raises AddressError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise AddressError(f"peer {address!a}: expected HOST:PORT")
    return host, int(port)


@dataclass(slots=True)
class _Pause:
    until_ms: int = 0
    failures: int = 0


class Dialler:
    """Which addresses to dial: those of the sources in their order, each after its pause. A pause doubles with each
    failure and is drawn a little shorter by chance, so that a network that starts at once does not dial in step."""

    def __init__(self, sources: Sequence[PeerSource], chance: random.Random, outbound: int = MAX_OUTBOUND) -> None:
        self._sources = sources
        self._chance = chance
        self._outbound = outbound
        self._pauses: dict[str, _Pause] = {}

    def due(self, now_ms: int, busy: Collection[str], connected: int) -> list[str]:
        """Addresses to dial now. `busy` are those dialled or connected; `connected` counts dialled connections."""
        found: list[str] = []
        for source in self._sources:
            for address in source.addresses():
                room = self._outbound - connected - len(found)
                if room <= 0:
                    return found
                pause = self._pauses.get(address)
                if address not in busy and address not in found and (pause is None or now_ms >= pause.until_ms):
                    found.append(address)
        return found

    def failed(self, address: str, now_ms: int) -> int:
        """Nobody there, or nobody who wants us: how long it is left alone, in milliseconds."""
        pause = self._pauses.setdefault(address, _Pause())
        pause.failures += 1
        longest = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(pause.failures - 1, 16))
        length = self._chance.randint(longest * 3 // 4, longest)
        pause.until_ms = now_ms + length
        return length

    def is_own(self, address: str, now_ms: int) -> None:
        """We met ourselves there."""
        self._pauses[address] = _Pause(now_ms + OWN_ADDRESS_PAUSE_MS, 0)

    def ended(self, address: str, now_ms: int) -> None:
        """A good connection is over: try again soon."""
        self._pauses.pop(address, None)
        self.failed(address, now_ms)
