from collections.abc import Iterable

from stratum.connection import Connection
from stratum.offer import JobOffer
from stratum.transport import DirectServer

def by_difficulty(connections: Iterable[Connection]) -> list[Connection]: ...
def send_job(
    direct: type[DirectServer], connections: list[Connection], job: JobOffer, clean_from: int
) -> list[tuple[Connection, bytes | None]]: ...
def due(direct: type[DirectServer], connections: Iterable[Connection], now: float) -> list[Connection]: ...
