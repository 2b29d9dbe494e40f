"""The calls of a B_k node, as one table: names, parameters, words."""

from __future__ import annotations

from typing import Any

from coincurve import PrivateKey

from chains.accounts import wallet
from chains.accounts.transfer import Transfer
from chains.bk import views
from chains.bk.core import BkCore
from chains.bk.messages import Offer
from chains.calls.errors import DESERIALIZATION, INVALID_PARAMETER, WALLET, CallError
from chains.calls.table import ARRAY, HASH, HEX, INTEGER, KEY, TEXT, WAIT_PARAMETER, Access, Call, Parameter
from chains.primitives.hashes import from_displayed
from chains.primitives.serialize import MalformedError, Reader
from chains.votes.block import SIGNATURE_SIZE, SignedBlock
from chains.votes.header import read_header

REFUSALS = (wallet.CallRefusedError,)
"""What the wallet's functions raise, with `code` and `reason`."""

_KEY = Parameter("leader_key", KEY, "who may sign the block that this vote leads (BIP340, x-only)")
_SCRIPT = Parameter("script", HEX, "the output script that the vote pays")
_ADDRESS = Parameter("address", TEXT, "an account")
_ID = Parameter("id", HASH, "a transfer's id")


def _block(core: BkCore, header: bytes, signature: bytes, votes: list[Any], body: bytes) -> tuple[Offer]:
    reader = Reader(header)
    try:
        parsed = read_header(reader)
        reader.finish()
    except MalformedError as error:
        raise CallError(DESERIALIZATION, f"header: {error}") from error
    if len(signature) != SIGNATURE_SIZE:
        raise CallError(DESERIALIZATION, "signature: expected 64 bytes")
    try:
        ids = tuple(from_displayed(vote) for vote in votes)
    except (ValueError, TypeError) as error:
        raise CallError(INVALID_PARAMETER, f"votes: {error}") from error
    return (Offer(SignedBlock(parsed, signature, ids), len(body), body),)


def _transfer(core: BkCore, transfer: str) -> tuple[Transfer]:
    return (wallet.parse(transfer),)


def list_accounts(core: BkCore) -> list[dict[str, Any]]:
    return [
        {
            "address": wallet.address_of(core.chain, script),
            "public_key": PrivateKey(secret).public_key.format().hex(),
            "script": script.hex(),
        }
        for script, secret in core.wallet.items()
    ]


def sign_transfer(core: BkCore, transfer: str) -> tuple[dict[str, Any]]:
    """A writing call, though nothing is written: who may read must not be able to spend."""
    secret = core.wallet.get(wallet.parse(transfer, signed=False).sender)
    if secret is None:
        raise CallError(WALLET, "the wallet does not hold the sender's key")
    return (wallet.sign_transfer(core.chain, transfer, secret),)


READ, WRITE = Access.READ, Access.WRITE

CALLS: tuple[Call, ...] = (
    Call("getvotetemplate", "What to vote for; changes exactly when the preferred block does.", READ, (_KEY, _SCRIPT),
         "datum, target, previousblockhash, k, votes", views.vote_template, group="mining"),
    Call("waitfortemplate", "The same, as soon as it votes for another block than `previous`.", READ,
         (_KEY, _SCRIPT, Parameter("previous", HASH, "the block voted for so far"), WAIT_PARAMETER),
         "as getvotetemplate", views.wait_for_template, waits="template", group="mining"),
    Call("submitvote", "A vote: its datum and the MM2 proof.", WRITE,
         (Parameter("datum", HEX, "the datum"), Parameter("proof", HEX, "the proof, wire form R10")),
         "null, duplicate, inconclusive (valid, for another block than the preferred), or why not", group="mining"),
    Call("getproposal", "The block that the key's owner should sign now, or null.", READ, (_KEY,),
         "header, digest, votes, body", views.proposal, group="mining"),
    Call("waitforproposal", "The same, as soon as there is one.", READ, (_KEY, WAIT_PARAMETER),
         "as getproposal", views.wait_for_proposal, waits="proposal", group="mining"),
    Call("submitblock", "A signed proposal.", WRITE,
         (Parameter("header", HEX, "104 bytes"), Parameter("signature", HEX, "64 bytes"),
          Parameter("votes", ARRAY, "the votes' hashes in their order"),
          Parameter("body", HEX, "the content", b"\x00")),
         "null, duplicate, inconclusive (valid, not preferred), or why not", _block, group="mining"),
    Call("getvotestatus", "What became of a vote, and what it earns.", READ, (Parameter("vote", HASH, "the vote"),),
         "state, block, index, height, confirmations, amount, leader, script", views.vote_status, group="mining"),
    Call("getblockchaininfo", "The chain, its numbers and its tip.", READ, (), "an object", views.chain_info,
         group="blocks"),
    Call("getblockcount", "The height of the preferred block.", READ, (), "an integer", views.block_count,
         group="blocks"),
    Call("getbestblockhash", "The preferred block.", READ, (), "a hash", views.best_block_hash, group="blocks"),
    Call("getblockhash", "The block of the preferred chain at a height.", READ,
         (Parameter("height", INTEGER, "from 0"),), "a hash", views.block_hash, group="blocks"),
    Call("getblock", "A block, its votes and what they earned.", READ, (Parameter("hash", HASH, "the block"),),
         "an object", views.block, group="blocks"),
    Call("getchainview", "The last heights with all blocks known there.", READ, (), "an object", views.chain_view,
         group="blocks"),
    Call("getvoteproof", "A vote's datum and proof.", READ, (Parameter("vote", HASH, "the vote"),), "an object",
         views.vote_proof, group="blocks"),
    Call("getblockproof", "A block with its votes and their proofs.", READ, (Parameter("hash", HASH, "the block"),),
         "an object", views.block_proof, group="blocks"),
    Call("gettransferproof", "The merkle branch of a confirmed transfer.", READ, (_ID,), "an object",
         views.transfer_proof, group="blocks"),
    Call("listaccounts", "The accounts whose keys this node holds.", READ, (), "an array", list_accounts,
         group="wallet"),
    Call("getbalance", "What an account has.", READ, (_ADDRESS,), "spendable, immature, next_nonce",
         lambda core, address: wallet.get_balance(core.chain, address), group="wallet"),
    Call("listtransfers", "An account's movements, oldest first.", READ,
         (_ADDRESS, Parameter("since_height", INTEGER, "only above it", 0),
          Parameter("limit", INTEGER, "at most so many", 1000)), "an array",
         lambda core, *values: wallet.list_transfers(core.chain, *values), group="wallet"),
    Call("createtransfer", "An unsigned transfer.", READ,
         (Parameter("public_key", TEXT, "the sender's, compressed, as hex"), _ADDRESS,
          Parameter("outputs", ARRAY, "objects with address and amount"),
          Parameter("fee", INTEGER, "the least that is relayed, when left out", None),
          Parameter("nonce", INTEGER, "the next one, when left out", None)), "hex, id, fee, nonce",
         lambda core, *values: wallet.create_transfer(core.chain, *values), group="wallet"),
    Call("signtransfer", "A transfer, signed with this node's key of its sender.", WRITE,
         (Parameter("transfer", TEXT, "as hex"),), "hex, id", sign_transfer, group="wallet"),
    Call("gettransfer", "Where a transfer is.", READ, (Parameter("id", TEXT, "a transfer's id"),),
         "state, height, block, confirmations", lambda core, text: wallet.get_transfer(core.chain, text),
         group="wallet"),
    Call("sendtransfer", "A signed transfer, for the next block; sending it again does no harm.", WRITE,
         (Parameter("transfer", TEXT, "as hex"),), "its id", _transfer, group="wallet"),
)  # fmt: skip
