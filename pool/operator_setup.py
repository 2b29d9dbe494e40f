"""From a configuration to the operator's tokens."""

from __future__ import annotations

from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.operator.tokens import Tokens, make_tokens, read_tokens


def operator_tokens(config: Config) -> Tokens | None:
    """Whose calls are taken, None where there is no operator's port. A file that nobody named is made when missing.
    Raises StartError."""
    if config.operator is None or not config.pool.serves:
        return None
    path = config.operator.token_path(config.pool.data_dir)
    try:
        if config.operator.token_file is None and not path.exists():
            make_tokens(path)
        return Tokens(read_tokens(path))
    except OSError as error:
        raise StartError(f"the operator's tokens: {path}: {error.strerror or error}") from error
