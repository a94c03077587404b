"""Numbers as a reader meets them: points, counts, shares, times, sizes. nan is shown as a dash, never as a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from frod.evaluation.statistics import Difference, Spread

DASH = "–"


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with so many digits after the point; what rounds to zero has no sign."""
    if not _known(value):
        return DASH
    text = f"{value:.{digits}f}"
    return _minus(text.lstrip("-") if float(text) == 0 else text)


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign; what rounds to zero has none."""
    text = fixed(value, digits)
    return f"+{text}" if value is not None and value > 0 and text not in (DASH, fixed(0.0, digits)) else text


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Both ends with their signs: [−2.14, +0.31]; a dash where there is no interval."""
    return f"[{signed(low, digits)}, {signed(high, digits)}]" if _known(low) and _known(high) else DASH


def points(value: float | None, digits: int = 1) -> str:
    """A metric times one hundred: 0.9312 -> 93.1."""
    return fixed(_hundredfold(value), digits)


def gain(value: float | None, digits: int = 1) -> str:
    """A difference of metrics in points: -0.012 -> −1.2."""
    return signed(_hundredfold(value), digits)


def gains(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval of metrics in points: [−2.1, +0.3]."""
    return interval(_hundredfold(low), _hundredfold(high), digits)


def mean(value: float | None, spread: float | None, lost: str = "") -> str:
    """A mean of metrics in points, its spread where there is one, and what is not in it: 93.1 ± 0.4 (1 diverged)."""
    if not _known(value):
        return lost or "undefined"
    return points(value) + (f" ± {points(spread)}" if _known(spread) else "") + (f" ({lost})" if lost else "")


def over_seeds(found: Spread | None) -> str:
    """The mean of a method's seeds with its spread; None where the metric is undefined on all of them."""
    return mean(found.mean, found.spread) if found else mean(None, None)


def compared(found: Difference | None) -> tuple[str, str]:
    """A difference in points, and its interval; dashes where there is none."""
    return (gain(found.mean), gains(found.low, found.high)) if found else (DASH, DASH)


def significant(value: float | None) -> str:
    """A number with the three digits that count, zeros among them: 0.0123, 1.23, 4.00, 1230."""
    if not _known(value):
        return DASH
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return _minus(f"{value:.2e}")
    rounded = float(f"{value:.3g}")  # first, as 0.9999 has more places than 1.00
    return _minus(f"{rounded:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}")


def ratio_interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of a ratio."""
    return f"[{significant(low)}, {significant(high)}]" if _known(low) and _known(high) else DASH


def p_value(p: float | None) -> str:
    """A p value, with a floor below which digits say nothing."""
    return DASH if not _known(p) else "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def per_cent(fraction: float | None, digits: int = 2) -> str:
    """A fraction as per cent."""
    return f"{fixed(100 * fraction, digits)}\u00a0%" if _known(fraction) else DASH


def count(value: float | None) -> str:
    """A whole number with thin gaps, which no locale reads as a decimal sign: 1569276 -> 1 569 276."""
    return f"{int(value):,}".replace(",", "\u202f") if _known(value) else DASH


def short_count(value: int) -> str:
    """A whole number with three digits and a letter: 22566146 -> 22.6M."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit * 0.9995:
            return f"{significant(value / unit)}{letter}"
    return str(int(value))


def count_range(values: Sequence[int]) -> str:
    """One number where all agree, else the lowest and the highest."""
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def share(value: float | None) -> str:
    """A fraction as per cent with three significant digits: 0.017938 -> 1.79 %."""
    if not _known(value):
        return DASH
    per_cent = 100 * value
    digits = 2 if per_cent == 0 else max(0, 2 - math.floor(math.log10(abs(per_cent))))
    return f"{per_cent:.{min(digits, 6)}f}\u00a0%"


def share_range(values: Sequence[float]) -> str:
    """One share where all print alike, else the lowest and the highest."""
    low, high = share(min(values)), share(max(values))
    return low if low == high else f"{low} to {high}"


def seconds(value: float | None) -> str:
    """A duration: 0.0123 -> 12.3 ms, 75 -> 1 min 15 s."""
    if not _known(value):
        return DASH
    if value < 1:
        return f"{significant(1000 * value)}\u00a0ms"
    if value < 60:
        return f"{significant(value)}\u00a0s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min {rest}\u00a0s"


def size(value: float | None) -> str:
    """Bytes in binary units: 1.4 GiB."""
    if not _known(value):
        return DASH
    for unit in ("B", "KiB", "MiB"):
        if value < 1000:
            return f"{significant(value)}\u00a0{unit}"
        value /= 1024
    return f"{significant(value)}\u00a0GiB"


def figure(value: float | None) -> str:
    """A number in whatever unit, with three significant digits or so: 1.72, −12.3, 0.0031, 1 569 276."""
    if not _known(value):
        return DASH
    if isinstance(value, int) or abs(value) >= 1000:
        return _minus(count(round(value)))
    if value == 0:
        return "0"
    digits = 1 if abs(value) >= 10 else 2 - math.floor(math.log10(abs(value)))
    return _minus(f"{value:.{digits}f}" if digits <= 6 else f"{value:.2g}")


def ratio(value: float | None) -> str:
    """A quotient: 1.27 ×."""
    return f"{value:.2f}\u00a0×" if _known(value) else DASH


def rate(value: float | None) -> str:
    """A learning rate as it is written in a suite: 0.0005 -> 5e-4."""
    if not _known(value):
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


def number(n: int, what: str) -> str:
    """A count with its noun: 1 task, 2 tasks."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a row, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _hundredfold(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")
