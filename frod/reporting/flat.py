"""Nested settings as one level, for a table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names; tables in a list go by their place, what is empty has no entry."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        tables = isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value)
        inner = {str(place): one for place, one in enumerate(value)} if tables else value
        found |= flat(inner, f"{prefix}{name}.") if isinstance(inner, Mapping) else {f"{prefix}{name}": value}
    return found
