"""What miners may have told elsewhere, on their own request: the section `miner_notices` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from pool.config.section import Section
from pool.config.values import as_tuple
from pool.miners.notice_target import LEAST_AFTER_MIN, MOST_AFTER_MIN, NoticeTerms

NoticeService = Literal["ntfy", "telegram", "discord", "pushover"]


class MinerNoticesSection(Section):
    """Miners who ask for it by a signed message are told that their workers are silent
    (docs/operating/miners-settings.md#offline-notices). The pool then calls the services below, never a host that a
    miner names."""

    services: Annotated[tuple[NoticeService, ...], BeforeValidator(as_tuple)] = Field(
        ("ntfy", "telegram", "discord", "pushover"),
        min_length=1,
        description="The services that miners may choose: ntfy.sh, Telegram, Discord, Pushover. Default: all of them.",
    )
    offline_after_min: int = Field(
        10,
        ge=LEAST_AFTER_MIN,
        le=MOST_AFTER_MIN,
        description="The fewest minutes of silence that a miner may choose.",
    )
    per_hour: int = Field(
        4, ge=1, le=60, description="Outages that are told at one place in an hour, and as many returns."
    )

    @field_validator("services")
    @classmethod
    def _each_once(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(services)) < len(services):
            raise ValueError("expected each service once")
        return services

    @property
    def terms(self) -> NoticeTerms:
        return NoticeTerms(self.services, self.offline_after_min)
