"""The calls of a consensus-proof node, for the table that JSON-RPC, help and documents are made of."""

from __future__ import annotations

from collections.abc import Mapping

from chains.accounts.wallet import CallRefusedError
from chains.calls.functions import calls_of
from chains.calls.table import OBJECT, TEXT, WAIT_PARAMETER, Access, Call, Parameter, Waited
from chains.parallel.calls import READS
from chains.parallel.core import ParallelCore
from chains.parallel.offers import root_template
from chains.parallel.writes import WRITES

REFUSALS = (CallRefusedError,)
"""What the calls raise, with `code` and `reason`."""

MINING = {"getconsensustemplate", "submitconsensusproof", "createparalleldatum", "submitparalleldatum"}
WALLET = {
    "listaccounts", "getbalance", "listtransfers", "createtransfer", "signtransfer", "sendtransfer", "gettransfer"
}  # fmt: skip


def wait_for_consensus_template(node: ParallelCore, scripts: Mapping[str, str], longpollid: str) -> Waited:
    """News as soon as the tip or any body differs from the template of this `longpollid`."""
    answer = root_template(node, scripts)
    return Waited(answer, answer["longpollid"] != longpollid)


def _group(name: str) -> str:
    return "mining" if name in MINING else "wallet" if name in WALLET else "chains"


def _calls() -> tuple[Call, ...]:
    found: list[Call] = []
    for functions, access in ((READS, Access.READ), (WRITES, Access.WRITE)):
        for name, function in functions.items():
            found += calls_of({name: function}, access, _group(name))
    return tuple(found)


CALLS: tuple[Call, ...] = (
    *_calls(),
    Call(
        "waitforconsensustemplate",
        "As getconsensustemplate, as soon as it differs from the template of this `longpollid`.",
        Access.READ,
        (
            Parameter("scripts", OBJECT, "address, or script as hex, by chain"),
            Parameter("longpollid", TEXT, "that of the template in hand"),
            WAIT_PARAMETER,
        ),
        "as getconsensustemplate",
        wait_for_consensus_template,
        waits="template",
        group="mining",
    ),
)
