from collections.abc import Callable, Mapping

def read_ready(
    epoll: int, readers: Mapping[int, Callable[[], None]], most: int, failed: Callable[[BaseException], None], /
) -> int:
    """Calls those that have something to read; how many there were."""
