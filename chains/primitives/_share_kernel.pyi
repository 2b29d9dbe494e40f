from typing import Literal

from chains.primitives.share_kernel import PythonSeenHashes, PythonShareKernel

class ShareKernel(PythonShareKernel): ...
class SeenHashes(PythonSeenHashes): ...

def hash_pairs(row: bytes) -> bytes: ...
def use(name: Literal["best", "portable", "sha-ni"]) -> str:
    """Which SHA-256 to hash with from now on; what is used now. Raises ValueError for what the processor lacks."""
