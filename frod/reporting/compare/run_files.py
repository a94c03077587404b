"""Adapters and predictions of the runs that two reports have in common, by their sha256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frod import numerics

FILES = ("adapter", "predictions")


@dataclass(frozen=True, kw_only=True)
class Digests:
    """What differs in bytes."""

    runs: int
    """How many both sides have."""
    differing: list[str]
    """Runs of which a file differs, with the files' names."""
    excuse: str | None
    """Why the same bytes are not to be expected of the first of them; None where they are."""

    @property
    def differ(self) -> bool:
        """Whether a file differs that should not."""
        return bool(self.differing) and self.excuse is None

    def sentence(self) -> str:
        """What was found, in words."""
        if not self.differing:
            return f"Adapters and predictions: the same sha256 in all {self.runs} runs that both have."
        found = f"Adapters, predictions: {len(self.differing)} of {self.runs} runs differ, first {self.differing[0]}"
        return f"{found}; the same bytes are not to be expected ({self.excuse})." if self.excuse else f"{found}."


def compare(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Digests | None:
    """Hold the runs of two runs.json against each other; None where a side has none, or where they share no run.

    Runs that should be the same come before those that another machine excuses.
    """
    shared = [run for run in a if run in b] if a is not None and b is not None else []
    if a is None or b is None or not shared:
        return None
    excuses: dict[str, str | None] = {}
    for run in shared:
        names = [name for name in FILES if a[run].get(name) != b[run].get(name)]
        if names:
            excuses[f"{run} ({', '.join(names)})"] = numerics.comparable(a[run], b[run])
    differing = sorted(excuses, key=lambda run: excuses[run] is not None)
    return Digests(runs=len(shared), differing=differing, excuse=excuses[differing[0]] if differing else None)
