"""What the books say when their database is away."""

from __future__ import annotations


class BooksAwayError(Exception):
    """The database cannot be worked with just now: it is down, restarting, full, or held up by somebody.

    The text is one line for people. What was being written may be committed or not; everything is safe to repeat.
    """


class UnusableLogError(Exception):
    """The books cannot take a share log's shares: they contradict what is stored. Nothing of them has been stored."""
