"""The form of a claim's verdict: plain values that JSON can hold, the same from one machine to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from frod.evaluation.formatting import interval, ratio_interval, signed, significant
from frod.evaluation.statistics import Difference

DIGITS = 6


class Verdict(NamedTuple):
    """What came out, and why."""

    verdict: str
    finding: str | None
    reason: str


def supported(reason: str) -> Verdict:
    """The test shows what the claim says."""
    return Verdict("supported", "shown", reason)


def contradicted(reason: str) -> Verdict:
    """The test shows the opposite."""
    return Verdict("not_supported", "contradicted", reason)


def undecided(reason: str) -> Verdict:
    """The test was done and shows neither."""
    return Verdict("not_supported", "undecided", reason)


def untestable(reason: str) -> Verdict:
    """What the test needs is not there."""
    return Verdict("cannot_be_tested", None, reason)


def claim(
    name: str,
    *,
    title: str,
    says: str,
    test: str,
    verdict: Verdict,
    figures: Sequence[Mapping[str, Any]] = (),
    tables: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One claim as claims.json holds it.

    Parameters
    ----------
    name : str
        Its id.
    says : str
        What the paper's abstract says, in our words.
    test : str
        How it is tested here.
    """
    return {
        "id": name,
        "title": title,
        "claim": says,
        "test": test,
        **verdict._asdict(),
        "figures": list(figures),
        "tables": list(tables),
    }


def figure(
    name: str,
    value: float | None,
    *,
    unit: str,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
) -> dict[str, Any]:
    """One of the main figures, with its interval where it has one."""
    return {"name": name, "value": value, "low": low, "high": high, "unit": unit, "n": n}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, note: str | None = None) -> dict:
    """A table; its cells are null, text, numbers, or what `cell` gives.

    Raises
    ------
    AssertionError
        For a row that has not as many cells as there are columns.
    """
    assert all(len(row) == len(columns) for row in rows), f"{title}: a row does not fit the columns"
    return {"title": title, "note": note, "columns": list(columns), "rows": [list(row) for row in rows]}


def cell(
    value: float | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    text: str | None = None,
    run: str | None = None,
) -> dict[str, Any]:
    """A number that knows more than itself.

    Parameters
    ----------
    text : str, optional
        What to show; the number is then for sorting. None: the number itself.
    run : str, optional
        TASK/BACKBONE/METHOD of the runs it comes from.
    """
    return {"value": value, "low": low, "high": high, "text": text, "run": run}


def difference(of: Difference, digits: int = 2, *, run: str | None = None) -> dict[str, Any]:
    """A mean difference with its interval, where there is one."""
    text = signed(of.mean, digits) + (f" {interval(of.low, of.high, digits)}" if of.has_interval else "")
    return cell(of.mean, low=of.low, high=of.high, text=text, run=run)


def ratio(of: Difference, note: str = "") -> dict[str, Any]:
    """The ratio that a mean difference of logarithms stands for, with its interval, where there is one."""
    value, low, high = map(from_log, (of.mean, of.low, of.high))
    text = significant(value) + (f" {ratio_interval(low, high)}" if of.has_interval else "")
    return cell(value, low=low, high=high, text=text + note)


def from_log(logarithm: float) -> float:
    """The ratio that a logarithm stands for; an end of an interval may be beyond any number."""
    return math.exp(min(logarithm, 700.0)) if math.isfinite(logarithm) else math.nan


def plain(value: Any) -> Any:
    """The same without nan, infinity, tuples and numpy's types; fractions to six digits.

    Beyond these, figures may differ between processors, and a report that is made again elsewhere would not agree.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, str | bool):
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
