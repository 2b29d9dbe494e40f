"""From a configuration to the service that tells miners of their silent workers."""

from __future__ import annotations

from pool.config.configuration import Config
from pool.miners.worker_outages import NewShares
from pool.notifications import notice_sender
from pool.services.bookkeeping import Bookkeeping, wall_ms
from pool.services.offline_notices import OfflineNotices, Reading
from pool.storage.books_views import BooksViews
from pool.storage.notice_reading import NoticeReading


def offline_notices(config: Config, views: BooksViews, bookkeeping: Bookkeeping) -> OfflineNotices | None:
    """None where the operator has not turned them on. Raises StartError without the package that sends."""
    section = config.miner_notices
    if section is None:
        return None

    def begin() -> Reading:
        reading = NoticeReading(config.pool.name)

        async def read(now_ms: int) -> NewShares:
            return await views.read(reading.new, now_ms)

        return read

    return OfflineNotices(
        begin, notice_sender(), lambda: bookkeeping.leads, wall_ms, pool=config.pool.name, per_hour=section.per_hour
    )
