"""Starting again: everything that was written, judged anew. A store that lost its end gives a shorter path, no wrong
one; what turns out bad is taken off the disk and fetched from peers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from chains.parallel.body import read_body_of
from chains.parallel.knowledge import Knowledge
from chains.parallel.own_transfers import OwnTransfers
from chains.parallel.parameters import NetworkParameters
from chains.parallel.proof import InvalidProofError, read_proof
from chains.peers.core import Note
from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError

PROOFS, BODIES, TRANSFERS, TIP, EXCUSED = "proof", "body", "transfer", "tip", "excused"
"""Tables of the store."""

Records = Mapping[str, Sequence[tuple[bytes, bytes]]]
Bad = list[tuple[str, bytes]]


def load(
    known: Knowledge, own: OwnTransfers, network: NetworkParameters, records: Records
) -> tuple[Bad, list[Note]]:
    """Fills in what a node knows; what to delete, and what to say of it."""
    bad: Bad = []
    notes: list[Note] = []
    for root, stored in records.get(BODIES, ()):
        try:
            known.keep(root, read_body_of(root, stored))
        except MalformedError as error:
            bad.append((BODIES, root))
            fields = {"root": root.hex(), "reason": str(error)}
            notes.append(Note(logging.WARNING, "stored body left out", fields))
    for proof_id, stored in records.get(PROOFS, ()):
        try:
            known.plant(read_proof(stored, network))
        except InvalidProofError as error:
            bad.append((PROOFS, proof_id))
            fields = {"proof": displayed(proof_id), "reason": error.reason}
            notes.append(Note(logging.WARNING, "stored proof left out", fields))
    for proof_id, _ in records.get(EXCUSED, ()):
        entry = known.tree.get(proof_id)
        if entry is not None and entry.missing:
            known.tree.excuse(entry)
        else:
            bad.append((EXCUSED, proof_id))
    for _, tip in records.get(TIP, ()):
        known.tree.prefer(tip)
    known.follow()
    sent = records.get(TRANSFERS, ())
    bad += [(TRANSFERS, name) for name, stored in sent if not own.restore(known.chains, name, stored)]
    return bad, notes
