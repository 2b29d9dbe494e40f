"""Start a signer: `python -m chains.signer.run --key FILE --promises FILE --socket PATH`; `--new` makes key and file of
promises. Prints `READY pid=… key=…`; ends on SIGTERM and SIGINT with exit code 0, with 1 when something cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from chains.signer.keys import KeyFileError
from chains.signer.promises import PromisesError
from chains.signer.signer import Signer, create_signer
from chains.signer.unix_socket import SignerServer


async def _serve(signer: Signer, path: Path) -> None:
    server = SignerServer(signer, path)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start()
    try:
        print(f"READY pid={os.getpid()} key={signer.public_key.hex()}", flush=True)
        await ended.wait()
    finally:
        await server.close()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chains.signer.run", description="Sign at most one digest a slot.")
    parser.add_argument("--key", type=Path, required=True, help="file with the secret, mode 0600")
    parser.add_argument("--promises", type=Path, required=True, help="file of what was promised")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to answer on, mode 0600")
    parser.add_argument("--new", action="store_true", help="make key and promises; both must not be there")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        signer = create_signer(given.key, given.promises) if given.new else Signer(given.key, given.promises)
        try:
            asyncio.run(_serve(signer, given.socket))
        finally:
            signer.close()
    except (KeyFileError, PromisesError, OSError) as error:
        print(f"signer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
