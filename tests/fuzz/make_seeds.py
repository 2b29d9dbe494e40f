"""Writes the first inputs of each target: `python tests/fuzz/make_seeds.py`. Whole conversations, files and answers as
the real things are, from which mutation starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from chains.accounts.transfer import Payment, Transfer
from chains.parallel.body import serialize_body
from chains.peers.frames import frame
from chains.peers.hello import Hello
from pool.blocks.stream_entry import drain_note, encode_entry
from pool.shares.record import Position
from pool.shares.watermark import Watermark

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"


def lines(*calls: tuple[str, list[object]]) -> bytes:
    return b"".join(
        json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n"
        for number, (method, params) in enumerate(calls, 1)
    )


def conversations() -> dict[str, bytes]:
    subscribe = ("mining.subscribe", ["cgminer/4.12", "00000001"])
    authorize = ("mining.authorize", ["bc1qaddress+alpha=same.rig", "d=0.001;x"])
    submit = ("mining.submit", ["bc1qaddress+alpha=same.rig", "1", "00000000", "6553f100", "deadbeef"])
    rolling = ("mining.submit", ["bc1qaddress+alpha=same.rig", "1", "00000000", "6553f100", "deadbeef", "1fffe000"])
    configure = ("mining.configure", [["version-rolling"], {"version-rolling.mask": "ffffffff"}])
    return {
        "handshake": b"\0" + lines(subscribe, authorize, submit),
        "rolling": b"\1" + lines(configure, subscribe, authorize, rolling, submit, submit),
        "wishes": b"\2" + lines(
            ("mining.suggest_difficulty", [0.5]), ("mining.suggest_target", ["00" * 32]), subscribe, authorize,
            ("mining.extranonce.subscribe", []), ("mining.get_transactions", ["1"]), ("mining.ping", []),
        ),
        "two-workers": b"\3" + lines(subscribe, authorize, ("mining.authorize", ["b.w2", ""]), submit),
        "answers": b"\4" + lines(subscribe) + b'{"id":7,"result":"cgminer/4","error":null}\n{"id":null,"result":[]}\n',
        "http": b"\5GET / HTTP/1.1\r\nHost: pool\r\n\r\n",
        "tls": b"\6\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "garbage": b"\7{}\n[]\n[{}]\n1e400\n\"\\ud800\"\n{\"id\":" + b"[" * 300 + b"\n\xff\xfe\n",
    }


def seeds() -> dict[str, dict[str, bytes]]:
    address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    template = {
        "version": 0x20000000, "previousblockhash": "00" * 32, "transactions": [], "coinbaseaux": {}, "height": 5,
        "coinbasevalue": 5_000_000_000, "target": "7fffff" + "00" * 29, "mintime": 1, "curtime": 1_700_000_000,
        "bits": "207fffff", "rules": ["!segwit"], "longpollid": "a", "mutable": ["time"], "vbrequired": 0,
    }
    mm2 = json.loads((ROOT / "docs/examples/mm2-proof.json").read_text())
    auxpow = json.loads((ROOT / "docs/examples/auxpow-namecoin.json").read_text())
    aux = {
        "hash": "11" * 32, "chainid": 1, "previousblockhash": "22" * 32, "coinbasevalue": 5, "bits": "207fffff",
        "height": 9,
        "_target": "00" * 29 + "ffff7f", "target": "00" * 29 + "ffff7f",
    }
    coin = {
        "txid": "33" * 32, "vout": 0, "scriptPubKey": "0014" + "44" * 20, "amount": 1.5, "confirmations": 3,
        "spendable": True, "solvable": True,
    }

    def answer(result: object) -> bytes:
        return b"\0" + json.dumps({"id": 1, "result": result, "error": None}).encode()

    script = b"\0\x14" + bytes(20)
    outputs = (Payment(script, 7), Payment(script, 8))
    transfer = Transfer(script, b"\2" + bytes(31) + b"\1", 0, 5, outputs, bytes(64)).serialize()
    hello = Hello(bytes(32), bytes(32), bytes(31) + b"\3", bytes(32), ("ping", "pong")).encode()
    return {
        "stratum": conversations(),
        "words": {
            "plain": f"{address}.rig".encode(), "routed": f"{address}+alpha=same+nmc=N1.rig.2".encode(),
            "password": b"alpha=addr;d=0.5;x", "agent": b"cgminer/4.12.1 (\x00)",
        },
        "proxy": {
            "line": b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "unknown": b"PROXY UNKNOWN\r\n",
            "binary": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(range(12)),
            "binary6": b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes(36), "local": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        },
        "proofs": {
            "auxpow": bytes.fromhex(auxpow["auxpow"]),
            "mm2": bytes.fromhex(mm2["aux_hash"]) + bytes.fromhex(mm2["wire"]) if "wire" in mm2 else bytes(200),
        },
        "node_answers": {
            "template": answer(template), "aux": answer(aux), "mm2": answer({**aux, "context": "55" * 32}),
            "coins": answer([coin]), "error": b'\1{"id":1,"result":null,"error":{"code":-8,"message":"no"}}',
            "html": b"\1<html>", "deep": b"\0" + b"[" * 2000,
        },
        "configuration": {
            name: (ROOT / "deploy" / f"{name}.yaml").read_bytes()
            for name in ("devnet", "two-chains", "bitcoin-namecoin")
        },
        "stream": {"drained": encode_entry(drain_note("a" * 32, Position(1, 2), Watermark(3, 4)))},
        "transfers": {"transfer": transfer, "body": serialize_body([transfer, transfer])},
        "peers": {"hello": hello, "frames": frame(1, hello) + frame(2, b"x" * 300) + frame(3, b"")},
    }


if __name__ == "__main__":
    for target, inputs in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / name).write_bytes(data)
