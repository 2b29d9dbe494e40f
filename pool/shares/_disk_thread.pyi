class DiskThread:
    """Writes a share log's segments; begins at once. `tell` is an eventfd; the thread closes `file`."""

    def __init__(
        self, directory: bytes, file: int, segment: int, offset: int, sequence: int, interval_s: float, tell: int
    ) -> None: ...
    def put(self, segment: int, sequence: int, data: bytes, /) -> None:
        """The log's next bytes, whose last share has that number. Segments never fall."""

    def progress(self) -> tuple[int, int, int, float, int]:
        """Segment, offset and sequence up to which all is durable, seconds that the last commit took, and the error
        that ended the thread (0: none)."""

    def close(self) -> None:
        """Returns when what was put is durable, or failed."""
