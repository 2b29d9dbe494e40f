"""Fuzz one target with coverage, for so many messages: `python tests/fuzz/run.py stratum --messages 1000000`; or all
of them, with their parts of the messages: `--all`.

New inputs that reach new code are kept in a folder of their own (`--corpus`, default a temporary one) and never in
tests/fuzz/corpus: what is worth keeping is merged by hand. An input that breaks a promise is printed with the command
that plays it again, after the fuzzer's last words, and the exit code is
not 0. Progress goes to standard output.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(FOLDER)]
LONGEST = {"stratum": 20_000, "proofs": 6_000, "node_answers": 8_000, "configuration": 4_000}
PARTS = {
    "stratum": 80, "node_answers": 5, "proofs": 4, "peers": 4, "transfers": 2, "words": 2, "proxy": 1, "stream": 1,
    "configuration": 1,
}  # fmt: skip
CONFIGURATIONS = 20_000  # whole files, some milliseconds each: a hundredth of the messages would take the night
TELL_S = 30.0
LAST_WORDS = 6000


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz one target.")
    parser.add_argument("target", nargs="?", choices=sorted(PARTS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=7200.0, help="give up after so long; exit code 3")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.all == (arguments.target is not None):
        parser.error("expected a target or --all")
    if not arguments.all:
        return fuzz(arguments.target, arguments.messages, arguments)
    codes = []
    for target, part in PARTS.items():
        messages = arguments.messages * part // 100
        codes.append(fuzz(target, min(messages, CONFIGURATIONS) if target == "configuration" else messages, arguments))
    return max(codes)


def fuzz(target: str, messages: int, arguments: argparse.Namespace) -> int:
    """One target in a process of its own; its exit code."""
    with tempfile.TemporaryDirectory() as spare:
        corpus = arguments.corpus or Path(spare) / "found"
        corpus.mkdir(parents=True, exist_ok=True)
        failed = corpus / "failed-"
        command = [sys.executable, __file__, "--drive", target, str(messages), str(arguments.seconds)]
        command += [f"-seed={arguments.seed}", f"-max_len={LONGEST.get(target, 2000)}", "-timeout=20", "-verbosity=0"]
        command += [f"-artifact_prefix={failed}", str(corpus), str(FOLDER / "corpus" / target)]
        words = FOLDER / f"{target}.dict"
        if words.exists():
            command.append(f"-dict={words}")
        said = Path(spare) / "said"
        with said.open("wb") as file:
            code = subprocess.run(command, check=False, stderr=file).returncode
        if code:
            print(said.read_text("utf-8", "replace")[-LAST_WORDS:])
        for path in sorted(corpus.glob("failed-*")):
            kept = Path(tempfile.gettempdir()) / path.name
            kept.write_bytes(path.read_bytes())
            print(f"{target}: broken promise; again: {sys.executable} tests/fuzz/run.py --play {kept}")
        return code


def drive(target: str, messages: int, seconds: float, words: list[str]) -> None:
    """libFuzzer's process: it ends itself when it has judged enough."""
    with atheris.instrument_imports(include=["stratum", "chains", "pool"]):
        from fuzz_targets import TARGETS

    judge = TARGETS[target]
    begun = told = time.monotonic()
    judged = runs = 0

    def one(data: bytes) -> None:
        nonlocal judged, runs, told
        judged += judge(data)
        runs += 1
        if runs % 256:
            return
        now = time.monotonic()
        if now - told > TELL_S:
            told = now
            print(f"{target}: {judged:,} of {messages:,} messages, {now - begun:.0f} s", flush=True)
        if judged >= messages or now - begun > seconds:
            print(f"{target}: {judged:,} messages in {runs:,} inputs, {now - begun:.0f} s, 0 broken", flush=True)
            os._exit(0 if judged >= messages else 3)

    atheris.Setup([sys.argv[0], *words], one)
    atheris.Fuzz()


def play(path: str) -> int:
    from fuzz_targets import TARGETS

    data = Path(path).read_bytes()
    for judge in TARGETS.values():
        judge(data)
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--drive", target, messages, seconds, *words]:
            drive(target, int(messages), float(seconds), words)
        case ["--play", path]:
            sys.exit(play(path))
        case _:
            sys.exit(main())
