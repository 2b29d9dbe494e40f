"""Loading a configuration text from an empty working directory, to be accepted or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pool.config.configuration import Config, ConfigError, load


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The lines of a refusal, without the file's name; the working directory is empty."""
    monkeypatch.chdir(tmp_path)

    def lines(text: str | bytes, **overrides: str) -> list[str]:
        path = tmp_path / "pool.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigError) as refusal:
            load(path, overrides)
        for line in refusal.value.lines:
            assert line.startswith((f"{path}:", "--set ")), line
            assert line.isprintable()
        assert str(refusal.value) == "\n".join(refusal.value.lines)
        return [line.removeprefix(f"{path}:") for line in refusal.value.lines]

    return lines


@pytest.fixture
def accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    monkeypatch.chdir(tmp_path)

    def config(text: str, **overrides: str) -> Config:
        path = tmp_path / "pool.yaml"
        path.write_text(text)
        return load(path, overrides)

    return config
