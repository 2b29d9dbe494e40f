"""What a session tells its owner. A Submit is made for every share, and costs a third as a msgspec Struct."""

from __future__ import annotations

import msgspec


class Submit(msgspec.Struct, gc=False, eq=False):
    """A well-formed mining.submit; the owner answers with accept(), or reject(): always for a worker unknown to the
    session's `users`."""

    id: bytes  # the request id as JSON, to be echoed
    worker: str  # as sent: the spelling of a login, or an unknown worker
    job_id: str
    extranonce2: bytes  # exactly the negotiated size
    ntime: int
    nonce: int
    version_bits: int | None  # as sent, perhaps outside the mask; None with five parameters


class AuthorizeRequest:
    """A login to judge. The session reads no further until answer_authorize(), so that answers keep their order."""

    __slots__ = ("id", "login_text", "password_text")

    def __init__(self, id: bytes, login_text: str, password_text: str) -> None:
        self.id = id
        self.login_text = login_text
        self.password_text = password_text


class TransactionsRequest:
    """mining.get_transactions; answered by answer_transactions()."""

    __slots__ = ("id", "job_id")

    def __init__(self, id: bytes, job_id: str) -> None:
        self.id = id
        self.job_id = job_id


class WantsJob:
    """The current job should be offered now: the first one, or the same again under a new difficulty."""

    __slots__ = ()


class Closed:
    """The session is over for `reason` (a metric label); send what data_to_send() still has, then close."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


Event = Submit | AuthorizeRequest | TransactionsRequest | WantsJob | Closed
