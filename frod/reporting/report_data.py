"""Everything a report is made from, in one place: the results of a suite, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.provenance.run_keys import RunKey, undefined
from frod.reporting.comparison import Comparison, Headline, by_pair, compare, headline
from frod.reporting.naming import MethodStyle, looks, method_order

Folder = tuple[str, str, str]
"""task, backbone, method."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of one suite.

    Raises
    ------
    ValueError
        For an empty summary, one of several suites or of another suite, and runs without history or record.
    """

    summary: pd.DataFrame
    """Of `frod.evaluation.summary.summarise`."""
    histories: Mapping[RunKey, pd.DataFrame]
    """history.parquet of every run of the summary."""
    records: Mapping[RunKey, Mapping[str, Any]]
    """record.json of every run of the summary; a run without one cannot be traced and is an error."""
    suite: Mapping[str, Any]
    """name, title, description, cannot_show (list of str), rates_chosen, methods (name to settings, of which `label`
    and `kind` are read), runs (RunKeys, or 4-tuples, that the suite plans; those without a row are called missing),
    protocol, skipped (tasks that were left out because their data are missing). Only name is needed."""
    claims: Mapping[str, Any]
    """What claims.json holds: see `frod.claims.assess`."""
    manifests: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """manifest.json by task and backbone, for the splits' row counts and the source of the data."""
    tuning: Mapping[Folder, Mapping[str, Any]] = field(default_factory=dict)
    """rates.json: how learning rates were chosen, where by trials."""
    spectra: Mapping[Folder, pd.DataFrame] = field(default_factory=dict)
    """spectrum.parquet, the singular values of W' - W: a row per seed and adapted layer."""
    since: Mapping[str, Any] | None = None
    """What was changed after the first run: see `frod.reporting.changes.since_first_run`. None: the page is silent."""
    results: str = "../../results"
    """Where results/ lies, seen from the page: relative, so that report and results can be moved together."""

    def __post_init__(self) -> None:
        """Check what a report cannot be made without."""
        if self.summary.empty:
            raise ValueError("summary has no runs; a report needs at least one")
        names, name = sorted(self.summary["suite"].unique()), self.suite["name"]
        if names != [name]:
            raise ValueError(f"summary is of suite {names}, the report of {name!r}; give the runs of one suite")
        for what, given in (("history", self.histories), ("record", self.records)):
            lacking = [key.path for key in self.runs if key not in given]
            if lacking:
                raise ValueError(f"{lacking} have no {what}; every run of the summary needs one")

    @property
    def title(self) -> str:
        """Of the suite, or its name."""
        return self.suite.get("title") or self.suite["name"]

    @cached_property
    def runs(self) -> list[RunKey]:
        """The summary's, in its order."""
        columns = (self.summary[name] for name in RunKey._fields)
        return [RunKey(task, backbone, method, int(seed)) for task, backbone, method, seed in zip(*columns)]

    @cached_property
    def missing(self) -> list[RunKey]:
        """Runs that the suite plans and the summary lacks."""
        present = set(self.runs)
        return [key for key in (RunKey(*run) for run in self.suite.get("runs") or []) if key not in present]

    @cached_property
    def methods(self) -> list[str]:
        """In the order of all tables and figures."""
        return method_order(sorted(self.summary["method"].unique()), list(self.suite.get("methods") or {}))

    @cached_property
    def looks(self) -> dict[str, MethodStyle]:
        """How each method appears."""
        return looks(self.methods, self.suite.get("methods") or {})

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All methods on each task."""
        return compare(self.summary, self.methods)

    @cached_property
    def headline(self) -> Headline | None:
        """The method under test against the reference over all tasks, where a task has both."""
        return headline(self.comparisons, without=self.uninformative)

    @cached_property
    def uninformative(self) -> dict[tuple[str, str], str]:
        """Tasks on which full fine-tuning is not above chance, and why; they are left out of the mean over tasks."""
        return {(one["task"], one["backbone"]): one["why"] for one in self.claims["uninformative"]}

    @cached_property
    def by_task(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The summary's rows by task and backbone, in its order."""
        return by_pair(self.summary)

    @cached_property
    def undefined(self) -> dict[RunKey, str]:
        """Runs without a figure, in the summary's order, and why."""
        return undefined(self.summary)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each method, from its records; where they do not say, its name."""
        found = {method: method for method in self.methods}
        for key, record in self.records.items():
            found[key.method] = ((record.get("spec") or {}).get("adapter") or {}).get("kind") or key.method
        return found

    def label(self, method: str) -> str:
        """The name of a method."""
        return self.looks[method].label
