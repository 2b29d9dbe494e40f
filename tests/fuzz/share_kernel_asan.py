"""Builds what is written in C with AddressSanitizer and UBSan in a copy of the tree, and runs its tests there.

    python tests/fuzz/share_kernel_asan.py [EXAMPLES]

EXAMPLES is how many cases hypothesis makes up (20,000). Needs a C compiler that has both sanitizers. Exit 1 when a test
fails or a sanitizer speaks up, which ends the process at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "chains/primitives/_share_kernel.c",
    "chains/bitcoin/_template_scan.c",
    "stratum/_submit_scan.c",
    "stratum/_rounds.c",
    "stratum/_read_ready.c",
    "pool/shares/_disk_thread.c",
    "pool/services/_share_desk.c",
)
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
COMPILER = os.environ.get("CC", "cc")
TESTS = (
    "tests/unit/chains/primitives/test_share_kernel.py",
    "tests/unit/chains/primitives/test_seen_hashes.py",
    "tests/unit/chains/primitives/test_hash_pairs.py",
    "tests/vectors/test_vectors_share_kernel.py",
    "tests/unit/chains/bitcoin/test_template_scan.py",
    "tests/unit/stratum/test_stratum_submit_scan.py",
    "tests/unit/stratum/test_stratum_rounds.py",
    "tests/unit/stratum/test_stratum_read_gate.py",
    "tests/unit/pool/shares/test_disk_thread.py",
    "tests/unit/pool/shares/test_segment_file.py",
    "tests/unit/pool/shares/test_share_log.py",
    "tests/unit/pool/services/test_share_lanes.py",
)


def runtime() -> str:
    """The sanitizer's library, which has to be there before Python's own allocations."""
    command = [COMPILER, "-print-file-name=libasan.so"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    examples = sys.argv[1] if len(sys.argv) > 1 else "20000"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("chains", "stratum", "pool", "tests/support", "tests/unit", "tests/vectors", "tests/fixtures"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for source in SOURCES:
            target = (copy / source).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
            flags = [*SANITIZED, "-std=c11", "-fPIC", "-shared", "-pthread", f"-I{sysconfig.get_path('include')}"]
            subprocess.run([COMPILER, *flags, str(copy / source), "-o", str(target)], check=True)
        environment = os.environ | {
            "LD_PRELOAD": runtime(),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # CPython keeps what it has until it ends
            "PYTHONMALLOC": "malloc",  # each object in memory of its own, so that its bounds are seen
            "PYTHONPATH": f"{copy}:{copy / 'tests'}",
            "PARAPOOL_FUZZ_EXAMPLES": examples,
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
        return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
