"""A number in a table of the page: what is shown, what it is sorted by, and the page of the runs it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    value: float | None = None
    """For sorting; None: by its text, or last among numbers."""
    href: str | None = None


def cell(text: str, value: float | None = None, href: str | None = None) -> Cell:
    """A cell; what is not a finite number has no value to sort by."""
    return Cell(text, float(value) if value is not None and math.isfinite(value) else None, href)
