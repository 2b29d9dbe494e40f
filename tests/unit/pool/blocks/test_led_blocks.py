"""A leading vote has one block, whatever ends the process between keeping, promising, signing and handing in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coincurve import PublicKeyXOnly
from support.bk_called import KEY, CalledNode

from chains.bk.proposal import PURPOSE, Proposal, proposal_of, read_proposal
from chains.signer.promises import PromisesError
from chains.signer.signer import AlreadyPromisedError, Signer, create_signer
from chains.votes.header import BlockHeader, votes_root
from pool.blocks.led_blocks import KEPT_BLOCKS, Leader, LedBlocks

VOTES = ("0a" * 32, "0b" * 32)


def proposal(height: int = 7, *, votes: tuple[str, ...] = VOTES, body: bytes = b"\x00") -> Proposal:
    root = votes_root(tuple(bytes.fromhex(vote)[::-1] for vote in votes))
    header = BlockHeader(bytes([height]) * 32, height, root, body.ljust(32, b"\x00"))
    return proposal_of(header.serialize(), votes, body)


class Files:
    """A key with what belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        create_signer(folder / "key", folder / "key.promises").close()

    def open(self) -> Leader:
        return Leader(Signer(self.folder / "key", self.folder / "key.promises"), LedBlocks(self.folder / "key.signed"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_led_blocks_other_contents_for_a_vote_give_the_block_that_was_signed(files: Files) -> None:
    leader = files.open()
    first = leader.sign(proposal())
    assert leader.sign(proposal(body=b"\x01")) == first
    leader.close()
    again = files.open()  # after a crash before it was handed in
    assert again.signed() == [first]
    assert again.sign(proposal(body=b"\x01")) == first
    assert first.proposal.body == b"\x00"
    other = again.sign(proposal(votes=VOTES[1:]))
    assert other.proposal.slot != first.proposal.slot
    assert {block.signature for block in again.signed()} == {first.signature, other.signature}
    again.close()


def test_led_blocks_a_signature_is_of_the_key_that_votes_name(files: Files) -> None:
    leader = files.open()
    block = leader.sign(proposal())
    leader.close()
    signer = Signer(files.folder / "key", files.folder / "key.promises")
    assert PublicKeyXOnly(signer.public_key).verify(block.signature, block.proposal.digest)
    assert signer.promised(PURPOSE, block.proposal.slot) == block.proposal.digest
    signer.close()


def test_led_blocks_what_was_kept_but_never_promised_is_nobodys_block(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = files.open()
    with monkeypatch.context() as crash:
        crash.setattr(Signer, "sign", lambda *_: (_ for _ in ()).throw(PromisesError("the disk is full")))
        with pytest.raises(PromisesError):
            leader.sign(proposal())
    assert leader.signed() == []
    assert leader.sign(proposal(body=b"\x01")).proposal.body == b"\x01"
    leader.close()


@pytest.mark.parametrize("damage", ["missing", "torn", "another"])
def test_led_blocks_a_promise_whose_block_is_lost_is_never_signed_again(files: Files, damage: str) -> None:
    leader = files.open()
    leader.sign(proposal())
    (path,) = (files.folder / "key.signed").iterdir()
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_text("{")
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), "header": "00" * 104}))
    with pytest.raises(AlreadyPromisedError):
        leader.sign(proposal(body=b"\x01"))
    assert leader.signed() == []
    assert leader.sign(proposal()).proposal == proposal(), "the very same one may"
    leader.close()


def test_led_blocks_keeps_the_newest_and_clears_what_a_crash_left(tmp_path: Path) -> None:
    kept = LedBlocks(tmp_path)
    for height in range(1, KEPT_BLOCKS + 4):
        kept.keep(proposal(height))
    assert [one.height for one in kept.all()] == list(range(4, KEPT_BLOCKS + 4))
    (tmp_path / "0000000099-00.tmp").write_text("half")
    LedBlocks(tmp_path)
    assert not list(tmp_path.glob("*.tmp"))


def test_led_blocks_one_process_at_a_time_has_the_key(files: Files) -> None:
    leader = files.open()
    with pytest.raises(PromisesError, match="in use by another signer"):
        files.open()
    leader.close()
    files.open().close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"votes": []}, "votes: they are not those"),
        ({"votes": ["0c" * 32] * 3}, "votes: they are not those"),
        ({"votes": [5]}, "votes: expected a list"),
        ({"header": "00" * 103}, "header"),
        ({"digest": "00" * 32}, "digest: it is not that of the header"),
        ({"body": None}, "body"),
    ],
)
def test_led_blocks_a_proposal_that_does_not_hold_together_is_refused(
    change: dict[str, object], message: str
) -> None:
    node = CalledNode()
    for _ in range(3):
        node.vote()
    answer = node.call("getproposal", KEY)
    good = read_proposal(answer)
    assert (good.hash_hex, good.height) == (answer["hash"], 1)
    with pytest.raises(ValueError, match=message):
        read_proposal({**answer, **change})
