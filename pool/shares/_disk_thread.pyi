class DiskThread:
    """Writes a share log's segments; begins at once. `tell` is an eventfd; the thread closes `file`."""

    def __init__(
        self, directory: bytes, file: int, segment: int, offset: int, sequence: int, interval_s: float, tell: int
    ) -> None: ...
    def put(self, entries: list[tuple[int, bytes, int, int]], /) -> tuple[int, int]:
        """The log's next bytes: segment, data, the number of its last share, how many shares. Segments never fall.
        Returns the shares and bytes that wait now."""

    def progress(self) -> tuple[int, int, int, float, int, int, int, int]:
        """Segment, offset and sequence up to which all is durable, seconds that the last commit took, the error that
        ended the thread (0: none), shares and bytes that wait, bytes written."""

    def close(self) -> None:
        """Returns when what was put is durable, or failed."""
