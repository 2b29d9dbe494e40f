"""Whether this process could sign the blocks that its votes lead (chains of kind bk). Nothing is opened for signing: a
pool that runs may hold the key's promises.
"""

from __future__ import annotations

import os

from chains.signer.keys import KeyFileError
from pool.doctor.finding import Finding, good, wrong
from pool.leader_keys import LeaderFiles, public_leader_key


def leader_finding(name: str, files: LeaderFiles) -> Finding:
    """The key and what belongs to it."""
    check, key = "leader", f"chains.{name}.leader_key_file"
    if not files.key.exists():
        if files.promises.exists():
            remedy = f"Restore the key, or remove {files.promises} and {files.signed}: a new key is made then."
            return wrong(name, check, f"{files.key} is gone, its promises are there", remedy)
        return good(name, check, f"{files.key} will be made at the first start")
    try:
        public = public_leader_key(files.key)
    except KeyFileError as error:
        return wrong(name, check, str(error), f"Correct {key}, or remove the file: a new key is made then.")
    if not files.promises.exists():
        remedy = f"Remove {files.key}: with a new key nothing can be signed twice. Votes are paid all the same."
        return wrong(name, check, f"{files.promises} is missing, so no block is led", remedy)
    if not os.access(files.promises, os.R_OK | os.W_OK):
        return wrong(name, check, f"{files.promises} cannot be written", "Give it to the pool's user, mode 0600.")
    return good(name, check, f"key {public.hex()[:16]}… can sign")
