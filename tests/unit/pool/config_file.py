"""A good configuration file, which each test of a mistake bends in one place."""

from __future__ import annotations

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
MAIN_ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"

GOOD = f"""\
pool:
  name: devnet
  data_dir: ./data
  fee_ppm: 10000
  tag: /parapool/
stratum:
  ports:
    - bind: 127.0.0.1:3333
      start_difficulty: 1
      minimum_difficulty: 0.001
      maximum_difficulty: 1000000
http:
  bind: 127.0.0.1:8080
parent: regbtc
chains:
  regbtc:
    kind: bitcoin
    network: regtest
    address: {ADDRESS}
    nodes:
      - url: http://127.0.0.1:19501
        user: someone
        password: geheim
  regnmc:
    kind: auxpow
    family: devnet
    chain_id: 1
    address: {ADDRESS}
    nodes: [{{url: "http://127.0.0.1:19502"}}]
    pplns:
      factor: 2.1
  alpha:
    kind: mm2
    context_name: alpha
    address: {ADDRESS}
    nodes:
      - url: http://127.0.0.1:19504
"""
