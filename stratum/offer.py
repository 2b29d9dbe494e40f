"""What the pool hands to the sessions: jobs, the terms of a port, and answers to a login."""

from __future__ import annotations

from dataclasses import dataclass

from stratum.version_rolling import BIP320_MASK


@dataclass(slots=True)
class JobOffer:
    """One job, built once by the pool and shared by all connections: the two lines are the same bytes objects for all.

    `notify` and `notify_clean` are whole lines with their newline, clean_jobs false and true. `caps` are the
    difficulties of the chains that may cap a connection's difficulty, ascending.
    """

    sequence: int  # +1 per job
    job_id: str  # lower-case hex
    notify: bytes
    notify_clean: bytes
    clean: bool  # the parent's tip changed with this job
    caps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """The terms of one listening port; difficulties in units of difficulty 1."""

    start_difficulty: float
    minimum_difficulty: float
    maximum_difficulty: float
    share_interval_s: float = 4.0  # 15 shares a minute: a 12 % estimate of the hashrate every five minutes
    vardiff: bool = True
    cap_max_shares_per_min: float = 60.0
    version_mask: int = BIP320_MASK
    extranonce2_size: int = 4
    answers_at_once: bool = False  # an accepted share's answer does not wait until the share is durable
    realm: str = ""  # sessions go on at ports of the same realm only; shares of different realms earn differently
    drain_to: tuple[str, int] | None = None  # where a drain sends the miners; None: away, to come back where they were

    def clamp(self, difficulty: float) -> float:
        return min(max(difficulty, self.minimum_difficulty), self.maximum_difficulty)


@dataclass(frozen=True, slots=True)
class Authorized:
    """The login is good: `user` comes back with every share; `difficulty` is the password's d=, if any."""

    user: object
    difficulty: float | None = None
    message: str | None = None  # shown with client.show_message, e.g. that a chain's address was not understood


@dataclass(frozen=True, slots=True)
class Refused:
    """The login is not good; `message` is the sentence of error 24."""

    message: str
