"""The section `operator`: where its port is, and who may read its tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config_file import GOOD

from pool.config.configuration import Config, load
from pool.config.reload import ReloadRefusedError, reload_between

Refused = Callable[..., list[str]]


def _with(section: str) -> str:
    return GOOD.replace("parent: regbtc", f"operator: {section}\nparent: regbtc")


def _load(tmp_path: Path, section: str, *more: tuple[str, str]) -> Config:
    path = tmp_path / "pool.yaml"
    path.write_text(_with(section))
    return load(path, dict(more))


def test_config_operator_is_not_there_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD)
    assert load(path).operator is None


def test_config_operator_listens_on_this_machine_unless_told_otherwise(tmp_path: Path) -> None:
    plain = _load(tmp_path, "{}").operator
    assert plain is not None and plain.address == ("127.0.0.1", 8090) and plain.is_local
    assert plain.token_path(Path("data")) == Path("data/operator.token")
    for bind, local in (("10.0.0.1:9", False), ("'[::1]:9'", True), ("localhost:9", True), ("pool.example:9", False)):
        found = _load(tmp_path, f"{{bind: {bind}}}").operator
        assert found is not None and found.is_local is local
    unix = _load(tmp_path, f"{{socket: {tmp_path}/op.sock}}").operator
    assert unix is not None and unix.address is None and unix.is_local


def test_config_operator_names_its_mistakes(refused: Refused, tmp_path: Path) -> None:
    [line] = refused(_with("{bind: 127.0.0.1:9, socket: /run/op.sock}"))
    assert "operator: expected either bind or socket" in line
    [line] = refused(_with("{bind: 127.0.0.1:3333}"))
    assert "operator.bind: expected a port of its own, this one is taken by stratum.ports.0.bind" in line
    [line] = refused(_with("{}").replace("127.0.0.1:8080", "127.0.0.1:8090"))
    assert "operator: expected a port of its own, this one is taken by http.bind" in line
    [line] = refused(_with(f"{{socket: /{'s' * 120}}}"))
    assert "operator.socket: expected a path of at most 100 bytes" in line
    [line] = refused(_with("{tokens: x}"))
    assert "operator.tokens: unknown key, did you mean token_file?" in line
    [line] = refused(_with(f"{{token_file: {tmp_path / 'none'}}}"))
    assert "operator.token_file: expected a readable file: No such file" in line


def test_config_operator_refuses_tokens_that_everybody_can_read(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("x")
    for mode, words in ((0o604, "chmod o-r"), (0o602, "chmod 600"), (0o620, "chmod 600")):
        path.chmod(mode)
        [line] = refused(_with(f"{{token_file: {path}}}"))
        assert "operator.token_file: expected a file that " in line and f"{words} {path}" in line
    path.chmod(0o640)
    assert _load(tmp_path, f"{{token_file: {path}}}").operator is not None


def test_config_operator_tokens_are_not_looked_at_by_who_has_no_such_port(tmp_path: Path) -> None:
    section = f"{{token_file: {tmp_path / 'none'}}}"
    assert _load(tmp_path, section, ("pool.role", "web"), ("pool.database_url", "sqlite:////tmp/x")).operator


def test_config_operator_port_cannot_change_by_reload(tmp_path: Path) -> None:
    before, after = _load(tmp_path, "{}"), _load(tmp_path, "{bind: 127.0.0.1:9}")
    try:
        reload_between(before, after)
    except ReloadRefusedError as error:
        assert error.lines == ["operator: a change needs a restart"]
    else:
        raise AssertionError("it was taken")


def test_config_operator_drain_place_is_one_of_the_port(refused: Refused, tmp_path: Path) -> None:
    line = "    - bind: 127.0.0.1:3333\n"
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD.replace(line, line + "      drain_to: pool-b.example.org:3333\n"))
    assert load(path).stratum.ports[0].drain_to == "pool-b.example.org:3333"
    [refusal] = refused(GOOD.replace(line, line + "      drain_to: pool-b.example.org\n"))
    assert "stratum.ports.0.drain_to: expected HOST:PORT" in refusal
