"""By when a connection must have got somewhere: speak, log in, not fall silent, and be of use."""

from __future__ import annotations

from stratum.limits import Limits


class Deadlines:
    """`due` is when passed() is worth asking again, and may be earlier than anything that passes then: what comes in
    moves only the times that it is reckoned from."""

    __slots__ = ("_limits", "due", "last_line", "last_valid_share", "logged_in", "opened", "spoke")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.opened = self.logged_in = self.last_line = self.last_valid_share = now
        self.spoke = False  # a proper request came
        self.due = now + limits.first_line_s

    def passed(self, now: float, logged_in: bool) -> str | None:
        """The reason to end the connection, if a time is over; reckons `due` anew when none is."""
        limits = self._limits
        if not self.spoke and now >= self.opened + limits.first_line_s:
            return "first_line"
        if not logged_in and now >= self.opened + limits.authorize_s:
            return "authorize"
        if now >= self.last_line + limits.idle_s:
            return "idle"
        if now >= self.last_valid_share + limits.no_valid_share_s:
            return "no_valid_share"
        due = min(self.last_line + limits.idle_s, self.last_valid_share + limits.no_valid_share_s)
        if not self.spoke:
            due = min(due, self.opened + limits.first_line_s)
        elif not logged_in:
            due = min(due, self.opened + limits.authorize_s)
        self.due = due
        return None
