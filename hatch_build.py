"""Builds what is written in C when the package is installed; without a compiler Python does it all.

`make install`, `pip install .` and building a wheel come by here. An extension lies beside its source, where an
editable install looks for it, and goes into a wheel that is then one for this platform.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (
    "chains/primitives/_share_kernel.c",
    "chains/bitcoin/_template_scan.c",
    "stratum/_submit_scan.c",
    "stratum/_rounds.c",
    "stratum/_read_ready.c",
    "pool/shares/_disk_thread.c",
    "pool/services/_share_desk.c",
)
FLAGS = ("-O2", "-std=c11", "-Wall", "-Wextra", "-fPIC", "-shared", "-pthread")


def build(root: Path, source: str, extra: tuple[str, ...] = ()) -> Path:
    """Compile one extension beside its source. Raises OSError or CalledProcessError."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    include = sysconfig.get_path("include")
    target = (root / source).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    if sys.platform == "darwin":
        extra = (*extra, "-undefined", "dynamic_lookup")
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.new")
    command = [*compiler, *FLAGS, *extra, f"-I{include}", str(root / source), "-o", str(unfinished)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        unfinished.replace(target)  # a running pool keeps the file that it has mapped
    finally:
        unfinished.unlink(missing_ok=True)
    return target


class KernelBuild(BuildHookInterface):
    """`pip install -v` shows why nothing was compiled; the pool's log says what is used."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        for source in SOURCES:
            try:
                target = build(root, source)
            except (OSError, subprocess.CalledProcessError) as error:
                reason = getattr(error, "stderr", None) or error
                self.app.display_warning(f"{source} was not compiled, its Python twin is used: {reason}")
                continue
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["force_include"][str(target)] = target.relative_to(root).as_posix()
