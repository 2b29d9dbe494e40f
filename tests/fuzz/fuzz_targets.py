"""What is fuzzed: each target takes any bytes, looks that the promise holds, and tells how many messages it judged.

A target raises on anything that is not the documented refusal: an exception of another class, an answer that breaks the
protocol, a buffer beyond its limit. `run.py` drives them with coverage, `test_fuzz_corpus.py` replays what is kept.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "unit" / "stratum")]  # the schema of our lines, and a miner

from server_schema import check_server_bytes
from stratum_peer import POLICY, Peer

from chains import node_rpc
from chains.accounts.transfer import read_transfer
from chains.auxpow import proof as auxpow_proof
from chains.auxpow import template as auxpow_template
from chains.auxpow.params import DOGECOIN, NAMECOIN
from chains.bitcoin import template as bitcoin_template
from chains.kind import TemplateError
from chains.mm2 import template as mm2_template
from chains.mm2_proof import proof as mm2_proof
from chains.mm2_proof.tree import context_of
from chains.parallel.body import form_problem, read_body, serialize_body
from chains.peers.frames import FrameError, FrameReader
from chains.peers.hello import HelloError, decode_hello
from chains.primitives.fields import FieldError
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import parse_transaction
from chains.wallet import WalletRefusedError
from chains.wallet_answers import transaction_of, unspent
from pool.blocks.stream_entry import BadEntryError, SharePiece, check_piece, decode_entry, run_of_pieces
from pool.config.configuration import ConfigError, load
from stratum import errors
from stratum.limits import Limits
from stratum.proxy_header import ProxyHeaderError, parse_proxy_header
from stratum.words import LoginError, parse_login, parse_password, parse_user_agent

REJECTIONS = (errors.STALE, errors.UNKNOWN_JOB, errors.DUPLICATE, errors.LOW_DIFFICULTY, errors.UNAUTHORIZED)
MAX_OUT = 4_000_000
CONTEXT = context_of("fuzz")
EASY = 2**256 - 1


def stratum(data: bytes) -> int:
    """A whole connection: the first byte chooses how the rest is cut into reads. Every line of ours is of the schema,
    logins stay within their limit, and a closed session says nothing more."""
    if not data:
        return 0
    chance = random.Random(data[0])
    limits = Limits()
    peer = Peer(POLICY, limits)
    rest, judged = data[1:], 0
    while rest and peer.closed is None:
        size = chance.choice((1, 7, 61, 300, 1460, len(rest)))
        part, rest = rest[:size], rest[size:]
        peer.now += chance.choice((0.0, 0.01, 1.0, 40.0))
        judged += part.count(b"\n")
        peer.raw(part)
        while peer.submits:
            submit = peer.submits.pop()
            if chance.random() < 0.5:
                peer.session.accept(submit, peer.session.assignment.terms.for_job(1), peer.now)
            else:
                peer.session.reject(submit.id, chance.choice(REJECTIONS), peer.now)
        out = peer.session.data_to_send()
        assert len(out) <= MAX_OUT
        check_server_bytes(out)
        peer.timeouts()
        assert len(peer.session.users) <= limits.workers_per_connection
    if peer.closed is not None:
        peer.raw(b'{"id":1,"method":"mining.subscribe","params":[]}\n')
        assert peer.session.data_to_send() == b""
    return max(1, judged)


def words(data: bytes) -> int:
    """Login, password and user agent are any text; only LoginError is a refusal."""
    text = data.decode("utf-8", "replace")
    try:
        login = parse_login(text)
        assert len(login.worker) <= len(text)
    except LoginError as error:
        assert len(str(error)) < 400
    parse_password(text)
    agent = parse_user_agent(text)
    assert agent.isprintable()
    return 1


def proxy(data: bytes) -> int:
    """What is whole names how long it is, and says the same whatever follows."""
    try:
        found = parse_proxy_header(data)
    except ProxyHeaderError as error:
        assert str(error)
        return 1
    if found is not None:
        assert 0 < found.length <= len(data)
        assert parse_proxy_header(data[: found.length] + b"x") == found
    return 1


def proofs(data: bytes) -> int:
    """Bytes that a child would be sent: parsed or refused as malformed; what parses is judged in words and serialises
    to the same bytes, an AuxPoW's coinbase without the witness that it may have come with."""
    aux_hash = data[:32].ljust(32, b"\0")
    with contextlib.suppress(MalformedError):
        proof = mm2_proof.parse(data[32:], CONTEXT, aux_hash)
        assert mm2_proof.serialize(proof) == data[32:]
        assert isinstance(mm2_proof.verify(proof, CONTEXT, EASY), str)
    with contextlib.suppress(MalformedError):
        auxpow = auxpow_proof.parse(data)
        wire = auxpow.serialize()
        if any(one.witness for one in auxpow.coinbase.inputs):
            assert len(wire) < len(data)
            assert auxpow_proof.parse(wire).serialize() == wire
        else:
            assert wire == data
        assert isinstance(auxpow_proof.verify(auxpow, aux_hash, 1, EASY), str)
    with contextlib.suppress(MalformedError):
        assert parse_transaction(data).serialize() == data
    return 3


def node_answers(data: bytes) -> int:
    """The body of a node's HTTP answer, and its result as each kind of template and as a wallet's coin."""
    status = (200, 500, 404, 401)[data[0] % 4] if data else 200
    try:
        result = node_rpc._result(1, status, data[1:])
        with contextlib.suppress(TemplateError):
            offered = node_rpc._result(1, status, data[1:], bitcoin_template.decode_answer)
            bitcoin_template.parse_template(offered, chain="a", node="n", template_rules=("segwit", "mweb"))
    except (node_rpc.RpcError, node_rpc.NodeUnavailableError):
        result = None
    templates: tuple[Callable[[Any], Any], ...] = (
        lambda answer: bitcoin_template.parse_template(answer, chain="a", node="n", template_rules=("segwit", "mweb")),
        lambda answer: auxpow_template.parse_template(answer, chain="a", node="n", dialect=NAMECOIN),
        lambda answer: auxpow_template.parse_template(answer, chain="a", node="n", dialect=DOGECOIN),
        lambda answer: mm2_template.parse_template(answer, chain="a", node="n", context=CONTEXT),
    )
    for parse in templates:
        try:
            parse(result)
        except TemplateError as error:
            assert str(error)
    with contextlib.suppress(FieldError):
        mm2_template.parse_chain_info(result)
    for coin in result if isinstance(result, list) else [result]:
        with contextlib.suppress(FieldError, WalletRefusedError):
            unspent(coin)
            transaction_of(coin, bytes(32))
    return 1


_FOLDER: list[Path] = []


def configuration(data: bytes) -> int:
    """Any file: a configuration, or lines that say where it is wrong."""
    if not _FOLDER:
        _FOLDER.append(Path(tempfile.mkdtemp(prefix="parapool-fuzz-")))
    path = _FOLDER[0] / "pool.yaml"
    path.write_bytes(data)
    try:
        load(path)
    except ConfigError as error:
        assert error.lines and all(line and "\n" not in line for line in error.lines)
    return 1




def stream(data: bytes) -> int:
    """An entry of the stream between processes, which a Redis of somebody else could hold."""
    try:
        entry = decode_entry(data)
        if isinstance(entry, SharePiece):
            check_piece(entry)
            if entry.lines:
                run_of_pieces([entry])
    except BadEntryError as error:
        assert str(error)
    return 1


def transfers(data: bytes) -> int:
    """A transfer of an account chain, the body of a parallel block: refused as malformed, or the same bytes again."""
    with contextlib.suppress(MalformedError):
        assert read_transfer(data).serialize() == data
    with contextlib.suppress(MalformedError):
        body = read_body(data)
        assert serialize_body(body) == data
        form_problem(body)
    return 2


def peers(data: bytes) -> int:
    """What a stranger sends to a node of our own networks: frames in any pieces, and a hello."""
    reader, judged = FrameReader(), 1
    try:
        for start in range(0, len(data), 97):
            reader.feed(data[start : start + 97])
            while reader.next() is not None:
                judged += 1
    except FrameError as error:
        assert str(error)
    try:
        decode_hello(data)
    except HelloError as error:
        assert str(error)
    return judged


TARGETS: dict[str, Callable[[bytes], int]] = {
    "stratum": stratum,
    "words": words,
    "proxy": proxy,
    "proofs": proofs,
    "node_answers": node_answers,
    "configuration": configuration,
    "stream": stream,
    "transfers": transfers,
    "peers": peers,
}
