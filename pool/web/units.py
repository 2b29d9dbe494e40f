"""Figures as people read them. JSON carries the plain numbers; only pages and the terminal use these."""

from __future__ import annotations

_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def hashrate_text(hashes_per_s: float) -> str:
    """`12.3 MH/s`: three digits or so and a decimal prefix."""
    value = float(hashes_per_s)
    step = 0
    while value >= 999.5 and step < len(_PREFIXES) - 1:
        value /= 1000
        step += 1
    digits = 0 if step == 0 or value >= 99.95 else 1
    return f"{value:.{digits}f} {_PREFIXES[step]}H/s"


def difficulty_text(difficulty: float) -> str:
    """`0.0014`, `12.3`, `4.56 M`: three digits and a decimal prefix."""
    if difficulty < 1000:
        return f"{difficulty:.3g}" if difficulty < 999.5 else "1.00 k"
    value, step = difficulty, 0
    while value >= 999.5 and step < len(_PREFIXES) - 1:
        value /= 1000
        step += 1
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {_PREFIXES[step]}"


def amount_text(amount: int, decimals: int = 0) -> str:
    """An amount in smallest units, grouped by thousands: `4,950,000,000`; with so many digits behind the point:
    `49.50000000`."""
    if decimals == 0:
        return f"{amount:,}"
    whole, part = divmod(abs(amount), 10**decimals)
    return f"{'-' if amount < 0 else ''}{whole:,}.{part:0{decimals}d}"


def duration_text(seconds: float) -> str:
    """`59 s`, `12 min`, `3 h 05 min`, `2 d 4 h`: as exact as a glance needs."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{days} d {hours % 24} h"
