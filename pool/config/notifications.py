"""Who is told of what: the list `notifications` of the configuration."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from pool.config.section import Section
from pool.config.values import EnvironmentName, FilePath, as_tuple

Event = Literal["block_found", "block_orphaned", "payout_settled", "payouts_on_hold", "chain_left", "alarm"]


class NotificationSection(Section):
    """A place that is told of events, by an Apprise URL (mail, Telegram, Discord, ntfy, a webhook …;
    docs/operating/notifications.md). It holds a token mostly, so it comes from a file or the environment."""

    url_file: FilePath | None = Field(None, description="File whose first line is the URL.")
    url_env: EnvironmentName | None = Field(None, description="Environment variable that holds the URL instead.")
    events: Annotated[tuple[Event, ...], BeforeValidator(as_tuple)] = Field(
        ("block_found", "block_orphaned", "payout_settled", "payouts_on_hold", "chain_left", "alarm"),
        min_length=1,
        description="What is told there. Default: everything.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> NotificationSection:
        if (self.url_file is None) == (self.url_env is None):
            raise ValueError("expected either url_file or url_env")
        return self

    def read_url(self) -> SecretStr:
        """The URL. Raises OSError or UnicodeDecodeError when its file cannot be read, ValueError when there is none."""
        if self.url_file is not None:
            text = self.url_file.read_text("utf-8").partition("\n")[0].strip()
        else:
            assert self.url_env is not None
            text = os.environ.get(self.url_env, "").strip()
        if not text:
            raise ValueError(f"expected a URL in {self.url_file or self.url_env}, there is none")
        return SecretStr(text)
