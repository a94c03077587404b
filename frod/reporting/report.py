"""Everything a page is made from, in one place: what `page.build` was given and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.evaluation.runs import RunKey, undefined
from frod.reporting.comparison import Comparison, Headline
from frod.reporting.naming import Look


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything the page is made from."""

    summary: pd.DataFrame
    histories: Mapping[RunKey, pd.DataFrame]
    records: Mapping[RunKey, Mapping[str, Any]]
    suite: Mapping[str, Any]
    manifests: Mapping[tuple[str, str], Mapping[str, Any]]
    methods: Sequence[str]
    looks: Mapping[str, Look]
    comparisons: Sequence[Comparison]
    headline: Headline | None
    missing: Sequence[RunKey]
    results: str
    tuning: Mapping[tuple[str, str, str], Mapping[str, Any]]
    """What `frod tune` wrote, by task, backbone and method."""
    claims: Mapping[str, Any]
    """What claims.json holds: see `frod.claims.assess`."""
    spectra: Mapping[tuple[str, str, str], pd.DataFrame]
    """Singular values of W' - W, by task, backbone and method: a row per seed and adapted layer."""

    @cached_property
    def by_task(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The summary's rows by task and backbone, in its order."""
        return dict(list(self.summary.groupby(["task", "backbone"], sort=False)))

    @cached_property
    def undefined(self) -> dict[RunKey, str]:
        """Runs without a figure, in the summary's order, and why."""
        return undefined(self.summary)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each method, from its records; where they do not say, its name."""
        found = {method: method for method in self.methods}
        for key, record in self.records.items():
            found[key.method] = ((record.get("spec") or {}).get("tuner") or {}).get("kind") or key.method
        return found

    def label(self, method: str) -> str:
        """The name of a method."""
        return self.looks[method].label
