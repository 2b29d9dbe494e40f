from pool.jobs.job_table import JobTable
from pool.services.scheme_board import SchemeBoard
from pool.services.share_intake import ShareIntake
from pool.services.work_tally import WorkTally
from pool.shares.share_log import ShareLog
from stratum.connection import Connection, Lane
from stratum.session import Session

class ShareDesk:
    """Shares that came by lanes and wait for the disk; its length is their number."""

    def __init__(
        self, intake: ShareIntake, table: JobTable, log: ShareLog, tally: WorkTally, schemes: SchemeBoard
    ) -> None: ...
    def __len__(self) -> int: ...
    def lane(self, connection: Connection, transport: object, session: Session, descriptor: int, /) -> Lane:
        """Raises TypeError for what is no session."""

    def answers(self) -> object:
        """The capsule for DiskThread.answer_with(). From now on nobody else answers this desk's shares."""

    def answer(self, sequence: int, /) -> tuple[int, int]:
        """Credits what is durable up to there, and answers what is not answered elsewhere: how many shares, and their
        weight."""

    def refuse(self) -> list[tuple[Connection | None, bytes]]:
        """Gives up what waits: the connection, where it is still there, and the submission's id."""
