class DiskThread:
    """Writes a share log's segments; begins at once. `tell` is an eventfd; the thread closes `file`."""

    def __init__(
        self, directory: bytes, file: int, segment: int, offset: int, sequence: int, interval_s: float, tell: int
    ) -> None: ...
    def put(
        self, entries: list[tuple[int, bytes, int, int]], tell: bool, /
    ) -> tuple[int, int, int, float, int, int, int, int, float]:
        """The log's next bytes: segment, data, the number of its last share, how many shares. Segments never fall.
        `tell`: the eventfd is counted up as soon as they are durable; it always is at an error. Returns progress()."""

    def answer_with(self, capsule: object, /) -> None:
        """Who hears first of what is durable (_disk_thread.h). RuntimeError when there is somebody already."""

    def progress(self) -> tuple[int, int, int, float, int, int, int, int, float]:
        """Segment, offset and sequence up to which all is durable, seconds that the last commit took, the error that
        ended the thread (0: none), shares and bytes that wait, bytes written, when the last commit ended (monotonic
        seconds)."""

    def close(self) -> None:
        """Returns when what was put is durable, or failed."""
