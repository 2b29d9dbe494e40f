"""What the doctor says of the key that leads blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_file import GOOD

from chains.signer.signer import create_signer
from pool.config.configuration import BkChain, Config, load
from pool.doctor.finding import Result
from pool.doctor.leading_checks import leader_finding
from pool.leader_keys import NOBODY, LeaderFiles, leader_files, make_leaders, public_leader_key

VOTES = """\
  votes: {kind: bk, network: regtest, context_name: x, address: bk1q4cs0tva4w2trjy24kjn8dqzr9rwe7m0543lk6n,
          maturity: 11, nodes: [{url: "http://127.0.0.1:1"}]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD.replace("data_dir: ./data", f"data_dir: {tmp_path}/data") + VOTES)
    return load(path)


def files_of(config: Config) -> LeaderFiles:
    chain = config.chains["votes"]
    assert isinstance(chain, BkChain)
    return leader_files(chain, config.pool.data_dir, "votes")


def test_doctor_leader_is_made_once_for_its_owner_alone(config: Config) -> None:
    files = files_of(config)
    assert public_leader_key(files.key) == NOBODY
    assert leader_finding("votes", files).found.endswith("will be made at the first start")
    make_leaders(config)
    public = public_leader_key(files.key)
    assert public != NOBODY and files.key.stat().st_mode & 0o777 == 0o600
    assert files.key.parent.stat().st_mode & 0o077 == 0
    make_leaders(config)
    assert public_leader_key(files.key) == public
    assert leader_finding("votes", files).found == f"key {public.hex()[:16]}… can sign"


def test_doctor_leader_without_what_belongs_to_it_is_told(config: Config) -> None:
    files = files_of(config)
    make_leaders(config)
    promises = files.promises.read_bytes()
    files.promises.unlink()
    finding = leader_finding("votes", files)
    assert finding.result is Result.WRONG and "is missing, so no block is led" in finding.found
    make_leaders(config)
    assert not files.promises.exists(), "a key that may have signed gets no new promises"
    files.promises.write_bytes(promises)
    files.key.chmod(0o644)
    assert "expected 0600" in leader_finding("votes", files).found
    files.key.unlink()
    finding = leader_finding("votes", files)
    assert finding.result is Result.WRONG and "is gone, its promises are there" in finding.found


def test_doctor_leader_of_another_files_key(tmp_path: Path, config: Config) -> None:
    create_signer(tmp_path / "lead", tmp_path / "lead.promises").close()
    chain = config.chains["votes"].model_copy(update={"leader_key_file": tmp_path / "lead"})
    assert isinstance(chain, BkChain)
    files = leader_files(chain, config.pool.data_dir, "votes")
    assert files == (tmp_path / "lead", tmp_path / "lead.promises", tmp_path / "lead.signed")
    assert leader_finding("votes", files).result is Result.GOOD
