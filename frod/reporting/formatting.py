"""Numbers as a reader meets them: points, counts, shares, times, sizes. nan is shown as a dash, never as a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frod.evaluation.runs import word

if TYPE_CHECKING:
    from frod.evaluation.statistics import Difference, Spread
    from frod.reporting.comparison import MethodResult

DASH = "–"


def points(value: float | None, digits: int = 1) -> str:
    """A metric times one hundred: 0.9312 -> 93.1."""
    return DASH if _absent(value) else _minus(f"{100 * value:.{digits}f}")


def signed(value: float | None, digits: int = 1) -> str:
    """A difference in points, with its sign: -0.012 -> −1.2; what rounds to zero has no sign."""
    if _absent(value):
        return DASH
    text = f"{100 * value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else _minus(text)


def interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval in points: [−2.1, +0.3]."""
    return DASH if _absent(low) or _absent(high) else f"[{signed(low, digits)}, {signed(high, digits)}]"


def mean(value: float | None, spread: float | None, lost: str = "") -> str:
    """A mean of metrics in points, its spread where there is one, and what is not in it: 93.1 ± 0.4 (1 diverged)."""
    if _absent(value):
        return lost or "undefined"
    return points(value) + ("" if _absent(spread) else f" ± {points(spread)}") + (f" ({lost})" if lost else "")


def over_seeds(found: Spread | None) -> str:
    """The mean of a method's seeds with its spread; None where the metric is undefined on all of them."""
    return mean(found and found.mean, found and found.spread)


def result(found: MethodResult) -> str:
    """What stands for a method on a task: its mean and spread, and how many of its runs have no figure, and why."""
    lost = Counter(map(word, found.undefined.values()))
    if not found.values:
        return ", ".join(lost)
    text = over_seeds(found.spread)
    return f"{text} ({', '.join(f'{n} of {found.runs} {why}' for why, n in lost.items())})" if lost else text


def compared(found: Difference | None) -> tuple[str, str]:
    """A difference in points, and its interval; dashes where there is none."""
    return (signed(found.mean), interval(found.low, found.high)) if found else (DASH, DASH)


def count(value: float | None) -> str:
    """A whole number with thin gaps, which no locale reads as a decimal sign: 1569276 -> 1 569 276."""
    return DASH if _absent(value) else f"{int(value):,}".replace(",", "\u202f")


def short_count(value: int) -> str:
    """A whole number with three digits and a letter: 22566146 -> 22.6M."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit * 0.9995:
            return f"{_three_digits(value / unit)}{letter}"
    return str(int(value))


def count_range(values: list[int]) -> str:
    """One number where all agree, else the lowest and the highest."""
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def share(value: float | None) -> str:
    """A fraction as per cent with three significant digits: 0.017938 -> 1.79 %."""
    if _absent(value):
        return DASH
    per_cent = 100 * value
    digits = 2 if per_cent == 0 else max(0, 2 - math.floor(math.log10(abs(per_cent))))
    return f"{per_cent:.{min(digits, 6)}f}\u00a0%"


def share_range(values: list[float]) -> str:
    """One share where all print alike, else the lowest and the highest."""
    low, high = share(min(values)), share(max(values))
    return low if low == high else f"{low} to {high}"


def seconds(value: float | None) -> str:
    """A duration: 0.0123 -> 12.3 ms, 75 -> 1 min 15 s."""
    if _absent(value):
        return DASH
    if value < 1:
        return f"{_three_digits(1000 * value)}\u00a0ms"
    if value < 60:
        return f"{_three_digits(value)}\u00a0s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min {rest}\u00a0s"


def size(value: float | None) -> str:
    """Bytes in binary units: 1.4 GiB."""
    if _absent(value):
        return DASH
    for unit in ("B", "KiB", "MiB"):
        if value < 1000:
            return f"{_three_digits(value)}\u00a0{unit}"
        value /= 1024
    return f"{_three_digits(value)}\u00a0GiB"


def figure(value: float | None) -> str:
    """A number in whatever unit, with three significant digits or so: 1.72, −12.3, 0.0031, 1 569 276."""
    if _absent(value):
        return DASH
    if isinstance(value, int) or abs(value) >= 1000:
        return _minus(count(round(value)))
    if value == 0:
        return "0"
    digits = 1 if abs(value) >= 10 else 2 - math.floor(math.log10(abs(value)))
    return _minus(f"{value:.{digits}f}" if digits <= 6 else f"{value:.2g}")


def ratio(value: float | None) -> str:
    """A quotient: 1.27 ×."""
    return DASH if _absent(value) else f"{value:.2f}\u00a0×"


def rate(value: float | None) -> str:
    """A learning rate as it is written in a suite: 0.0005 -> 5e-4."""
    if _absent(value):
        return DASH
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if value else "0"


def plain(value: object) -> str:
    """Anything else: a whole float without its point, yes and no, names with their values."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(inner)}" for name, inner in value.items() if inner is not None)
    if isinstance(value, list | tuple):
        return " ".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _three_digits(value: float) -> str:
    """Three significant digits with their zeros, so that a column lines up: 4 -> 4.00."""
    rounded = float(f"{value:.3g}")  # first, as 0.9999 has more places than 1.00
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(rounded)))}f}" if rounded >= 0.01 else f"{value:.2g}"


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")
