"""Where a parameter is from, so that what is wrong with it is said of the file or option that gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PARAMS = "params.yaml"

Given = Mapping[str, Mapping[str, Any]]
"""What files and options besides params.yaml gave, by their names, the one that prevails first."""


def origin(given: Given, place: Sequence[Any]) -> str:
    """Name what gave the value at a place in the parameters (keys, from the outermost on); params.yaml if none did."""
    return next((name for name, values in given.items() if place and _has(values, place)), PARAMS)


def _has(values: Any, place: Sequence[Any]) -> bool:
    for key in place:
        if not isinstance(values, Mapping) or key not in values:
            return False
        values = values[key]
    return True
