"""The loop of a process, tried in a process of its own: there is one reactor in each."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, gc
from pool.reactor import YOUNG_OBJECTS, run

async def main():
    await asyncio.sleep(0)
    assert gc.isenabled() and gc.get_threshold()[0] == YOUNG_OBJECTS
    return 7 if gc.get_freeze_count() > 10_000 else 1

raise SystemExit(run(main()))
"""


LAST_WORDS_AND_RESET = """
import asyncio, socket, struct, time
from pool.reactor import run

async def main():
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, Protocol

    lost = asyncio.Event()

    class Peer(Protocol):
        def connectionMade(self):
            peers.append(self)

        def connectionLost(self, reason):
            lost.set()

    peers = []
    port = reactor.listenTCP(0, Factory.forProtocol(Peer), interface="127.0.0.1")
    client = socket.create_connection(("127.0.0.1", port.getHost().port))
    while not peers:
        await asyncio.sleep(0.01)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(bytes(300_000))  # more than one read takes
    client.close()
    time.sleep(0.2)  # both are there before anybody looks
    async with asyncio.timeout(30):
        while not lost.is_set():
            await asyncio.sleep(0.05)
            peers[0].transport.write(b"still there?")
    print("lost")
    return 0

raise SystemExit(run(main()))
"""


def test_reactor_gives_the_exit_code_and_has_the_collector_pass_over_what_imports_made() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr


def test_reactor_hears_of_a_reset_behind_a_peers_last_words() -> None:
    done = subprocess.run([sys.executable, "-c", LAST_WORDS_AND_RESET], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "lost\n"), done.stderr
    assert "Traceback" not in done.stderr
