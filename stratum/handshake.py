"""The methods a miner may call besides mining.submit: a table from name to what is done.

Each function reads its parameters with explicit type checks (a bool is an int in Python, a miner may send anything),
answers through the session, and leaves to the events what only the pool can decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stratum import errors, messages
from stratum.events import AuthorizeRequest, Event, TransactionsRequest
from stratum.jsonrpc import Request, result_of
from stratum.version_rolling import negotiate
from stratum.words import parse_user_agent

if TYPE_CHECKING:
    from stratum.session import Session

EXTENSIONS = 16  # names looked at in one mining.configure; BIP310 knows four
EXTENSION_NAME_BYTES = 64


def _text(params: Any, index: int) -> str | None:
    if type(params) is list and len(params) > index and type(params[index]) is str:
        return str(params[index])
    return None


def _number(value: object) -> float | None:
    """A positive finite number; bool is none, a string of digits is none."""
    if type(value) is not int and type(value) is not float:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number > 0.0 and math.isfinite(number) else None


def configure(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """BIP310. Only extensions that were asked for are answered: Whatsminer hangs up on any other key (sri #1173)."""
    params = request.params
    if type(params) is not list or not params or type(params[0]) is not list:
        session.out.error(request.id or b"null", errors.other("Expected [[extension, …], {parameters}]"))
        return
    arguments: dict[str, Any] = params[1] if len(params) > 1 and type(params[1]) is dict else {}
    reply: dict[str, object] = {}
    for name in params[0][:EXTENSIONS]:
        if type(name) is not str or len(name) > EXTENSION_NAME_BYTES:
            continue
        if name == "version-rolling":
            mask = negotiate(session.policy.version_mask, arguments.get("version-rolling.mask"))
            reply[name] = bool(mask)
            session.version_mask = mask or 0
            if mask:
                reply["version-rolling.mask"] = f"{mask:08x}"
        elif name == "minimum-difficulty":
            minimum = _number(arguments.get("minimum-difficulty.value"))
            reply[name] = minimum is not None
            if minimum is not None:
                session.assignment.ask_minimum(minimum, now)
        elif name == "subscribe-extranonce":
            session.extranonce_subscribed = reply[name] = True
        else:
            reply[name] = name == "info"
    session.out.result(request.id or b"null", reply)


def subscribe(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """[user agent, session id or null, …]; LuxOS adds host and port. A second subscribe gets the same answer."""
    session.user_agent = parse_user_agent(_text(request.params, 0)) or session.user_agent
    session_id = session.subscribe(_text(request.params, 1), now)
    session.out.line(
        messages.subscribe_result(
            request.id or b"null", session_id, session.extranonce1, session.policy.extranonce2_size
        )
    )
    session.want_first_job()


def take_response(session: Session, request: Request, line: bytes) -> None:
    """A line without a method answers a question of ours, or of no one's. We ask one, once: client.get_version."""
    if session.version_asked and request.id == messages.GET_VERSION_ID:
        session.version_asked = False
        session.user_agent = parse_user_agent(result_of(line)) or session.user_agent


def authorize(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """[login, password]; the password may be missing, null or a number (btcpool #32 crashed without)."""
    login = _text(request.params, 0)
    if login is None:
        session.out.error(request.id or b"null", errors.other("Expected [login, password]"))
        return
    refusal = session.login_limit(login, now)
    if refusal is not None:
        session.out.error(request.id or b"null", errors.unauthorized(refusal))
        return
    question = AuthorizeRequest(request.id or b"null", login, _text(request.params, 1) or "")
    session.wait_for_answer(question)
    events.append(question)


def suggest_difficulty(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """[difficulty] or a bare number, before or after authorize. Without an id nothing is answered (NerdMiner)."""
    params = request.params
    difficulty = _number(params[0] if type(params) is list and params else params)
    if difficulty is not None:
        session.assignment.ask(difficulty, now)
    if not request.id:
        return
    if difficulty is None:
        session.out.error(request.id, errors.other("Expected [difficulty] with a positive number"))
    else:
        session.out.result(request.id, True)


def extranonce_subscribe(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """NiceHash disconnects at each order unless this is granted."""
    session.extranonce_subscribed = True
    if request.id:
        session.out.result(request.id, True)


def ping(session: Session, request: Request, now: float, events: list[Event]) -> None:
    if request.id:
        session.out.result(request.id, "pong")


def get_transactions(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """[job id] of a job this pool has sent."""
    job_id = _text(request.params, 0)
    if job_id is None:
        session.out.error(request.id or b"null", errors.other("Expected [job_id]"))
    elif not session.transactions_allowed(now):
        session.out.error(request.id or b"null", errors.other("Not now", 0.0))
    else:
        events.append(TransactionsRequest(request.id or b"null", job_id.lower()))


def multi_version(session: Session, request: Request, now: float, events: list[Event]) -> None:
    """Bitmain's cgminer asks for several versions to roll; an error makes it go on without (stratum-proxy #51)."""
    session.out.error(request.id or b"null", errors.other("Use mining.configure with version-rolling", 0.0))


Method = Callable[["Session", Request, float, list[Event]], None]

REQUESTS: dict[str, Method] = {
    "mining.configure": configure,
    "mining.subscribe": subscribe,
    "mining.authorize": authorize,
    "mining.suggest_difficulty": suggest_difficulty,
    "mining.extranonce.subscribe": extranonce_subscribe,
    "mining.ping": ping,
    "mining.get_transactions": get_transactions,
    "mining.multi_version": multi_version,
}
