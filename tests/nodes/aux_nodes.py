"""Four auxiliary chains for a real parent: reference nodes in processes of their own, two MM1 and two MM2."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node_daemons import START_S, RealNode
from support.offers import offer_of

from chains.families import network
from chains.kind import AuxTemplate
from chains.primitives.address import address_to_script
from chains.reference.wallet import address
from pool.devnet.demo.children import Child

CHAIN_IDS = {"regnmc": 1, "regdoge": 98}
CONTEXTS = ("alpha", "beta")
CHILDREN = (*CHAIN_IDS, *CONTEXTS)
FAMILIES = {"sha256d": "devnet", "scrypt": "devnet-scrypt"}


class AuxNode(RealNode):
    """A reference node. `address` is where the pool's rewards go on this chain."""

    @property
    def address(self) -> str:
        return address(self.name, 0, witness=self.name != "regdoge")

    @property
    def script(self) -> bytes:
        return address_to_script(self.address, self.network.addresses)

    def offer(self) -> AuxTemplate:
        """What it offers now to the pool's address."""
        if self.name in CONTEXTS:
            answer = self.call("createmm2block", self.address)
            return offer_of(self.name, answer, chain_id=None, context_name=self.name)
        answer = self.call("createauxblock", self.address)
        return offer_of(self.name, answer, chain_id=CHAIN_IDS[self.name], context_name=None)

    def chain_section(self) -> dict[str, Any]:
        """The chain in a pool's configuration."""
        section = {"family": FAMILIES[self.network.pow_hash], "address": self.address, "poll_interval_s": 0.2}
        section |= {"nodes": [self.section]}
        if self.name in CONTEXTS:
            return {"kind": "mm2", "context_name": self.name, **section}
        dialect = "dogecoin" if self.name == "regdoge" else "namecoin"
        return {"kind": "auxpow", "chain_id": CHAIN_IDS[self.name], "dialect": dialect, **section}


def start_children(directory: Path, pow_hash: str) -> dict[str, AuxNode]:
    """All four by name, whose proofs are of this proof of work, at the regtest target."""
    children = {name: _child(name, pow_hash) for name in CHILDREN}
    try:
        for child in children.values():
            _launch(child, directory)
        for child in children.values():
            child.url = f"http://127.0.0.1:{_port(child)}/"
    except BaseException:
        stop_children(children)
        raise
    return children


def stop_children(children: Mapping[str, RealNode]) -> None:
    for child in children.values():
        child.stop()


def _child(name: str, pow_hash: str) -> AuxNode:
    return AuxNode(name, "", "u", secrets.token_hex(8), network(FAMILIES[pow_hash], "regtest"))


def _launch(child: AuxNode, directory: Path) -> None:
    kind = "mm2" if child.name in CONTEXTS else "auxpow"
    command = [sys.executable, "-m", "chains.reference.run", "--kind", kind, "--name", child.name, "--port", "0"]
    command += ["--user", child.user, "--password", child.password, "--data", str(directory / child.name)]
    command += ["--seed", child.name, "--pow-hash", child.network.pow_hash]
    if kind == "mm2":
        command += ["--context-name", child.name]
    else:
        dialect = "dogecoin" if child.name == "regdoge" else "namecoin"
        command += ["--chain-id", str(CHAIN_IDS[child.name]), "--dialect", dialect]
    child.processes.append(Child(child.name, command, directory / f"{child.name}.txt"))


def _port(child: AuxNode) -> int:
    """The RPC port, once the node says it (`READY pid=PID port=PORT`)."""
    (process,) = child.processes
    deadline_s = time.monotonic() + START_S
    while True:
        text = process.log_text()
        if text.startswith("READY") and text.endswith("\n"):
            return int(text.rpartition("port=")[2])
        ended = process.exit_code()
        assert ended is None and time.monotonic() < deadline_s, f"{child.name} did not start ({ended}): {text}"
        time.sleep(0.05)
