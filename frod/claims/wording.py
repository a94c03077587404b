"""How figures stand in a sentence of a verdict. Points come in as points."""

from __future__ import annotations

import math
from collections.abc import Sequence

DASH = "–"


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with so many digits after the point; a dash for none."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign; what rounds to nought has none."""
    text = fixed(value, digits)
    return f"+{text}" if value is not None and value > 0 and text not in (DASH, fixed(0.0, digits)) else text


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Both ends, signed; a dash where there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def ratio(low: float | None, high: float | None) -> str:
    """Both ends of an interval of a ratio."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"[{significant(low)}, {significant(high)}]"


def from_log(logarithm: float) -> float:
    """The ratio that a logarithm stands for; an end of an interval may be beyond any number."""
    return math.exp(min(logarithm, 700.0)) if math.isfinite(logarithm) else math.nan


def significant(value: float | None, digits: int = 3) -> str:
    """A positive number with so many digits that count: 0.0123, 1.23, 1230."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    rounded = float(f"{value:.{digits}g}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{places}f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """A p value, with a floor below which digits say nothing."""
    if p is None or not math.isfinite(p):
        return DASH
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def per_cent(fraction: float | None, digits: int = 2) -> str:
    """A fraction as per cent."""
    if fraction is None or not math.isfinite(fraction):
        return DASH
    return f"{fixed(100 * fraction, digits)}\u00a0%"


def grouped(n: int) -> str:
    """A whole number with thin gaps, which no locale reads as a decimal sign."""
    return f"{n:,}".replace(",", "\u202f")


def number(n: int, what: str) -> str:
    """A count with its noun: 1 task, 2 tasks."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a row, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
