"""What the runs say when they are set next to each other: the figures behind every table, figure and sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from frod.evaluation import formatting as show
from frod.evaluation.statistics import Difference, Spread, mean_interval, over_seeds, paired_difference
from frod.method.shares import shares
from frod.provenance.run_keys import REFERENCE, SUBJECT, stopped, undefined, word

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method on one task: its seeds' values and what they give."""

    method: str
    values: dict[int, float]
    """Of the seeds whose metric is defined."""
    undefined: dict[int, str]
    """Why the other seeds have no figure."""
    spread: Spread | None
    difference: Difference | None
    """To the reference, paired by seed; None for the reference itself and without a shared seed."""

    @property
    def runs(self) -> int:
        """How many there are, with a figure or without."""
        return len(self.values) + len(self.undefined)

    @property
    def shown(self) -> str:
        """Mean and spread, and how many runs have no figure, and why, where some have none."""
        lost = Counter(map(word, self.undefined.values()))
        counts = [f"{count} of {self.runs} {why}" for why, count in lost.items()]
        return show.mean(self.spread.mean, self.spread.spread, ", ".join(counts)) if self.spread else ", ".join(lost)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All methods on one task and backbone."""

    task: str
    backbone: str
    primary: str
    test_examples: int
    results: tuple[MethodResult, ...]

    def of(self, method: str) -> MethodResult | None:
        """The result of a method, None where it has no run."""
        return next((result for result in self.results if result.method == method), None)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The method under test against the reference over all tasks."""

    over_tasks: Difference
    """Tasks as the units: the interval is over tasks, not over seeds."""
    by_task: dict[tuple[str, str], Difference]
    """By task and backbone."""
    seeds: tuple[int, ...]
    """Smallest and largest number of pairs of a task."""
    with_interval: int
    containing_zero: int


def by_pair(summary: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """A summary's rows by task and backbone, in its order."""
    groups = summary.groupby(["task", "backbone"], sort=False)
    return {(str(task), str(backbone)): rows for (task, backbone), rows in groups}


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows, as plain values by column."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def compare(summary: pd.DataFrame, methods: Sequence[str]) -> list[Comparison]:
    """One comparison per task and backbone, in the summary's order, methods in the order given.

    Parameters
    ----------
    summary : DataFrame
        Of `frod.evaluation.summary.summarise`.
    """
    found, lost = [], undefined(summary)
    for (task, backbone), runs in by_pair(summary).items():
        defined = {method: _finite(of_method, "test") for method, of_method in runs.groupby("method")}
        results = tuple(
            MethodResult(
                method=method,
                values=defined[method],
                undefined={key.seed: why for key, why in lost.items() if key[:3] == (task, backbone, method)},
                spread=over_seeds(list(defined[method].values())) if defined[method] else None,
                difference=(
                    paired_difference(defined[method], defined.get(REFERENCE, {})) if method != REFERENCE else None
                ),
            )
            for method in methods
            if method in defined
        )
        found.append(
            Comparison(
                task=task,
                backbone=backbone,
                primary=runs["primary"].iloc[0],
                test_examples=int(runs["test_examples"].max()),  # none of a run that stopped early
                results=results,
            )
        )
    return found


def headline(comparisons: Sequence[Comparison], *, without: Collection[tuple[str, str]] = ()) -> Headline | None:
    """The method under test against the reference over tasks; None where no task has both on a shared seed.

    Tasks of `without` are no part of the mean, unless there is no other.
    """
    by_task = {}
    for comparison in comparisons:
        result = comparison.of(SUBJECT)
        if result is not None and result.difference is not None:
            by_task[comparison.task, comparison.backbone] = result.difference
    if not by_task:
        return None
    informative = [pair for pair in by_task if pair not in without]
    with_interval = [difference for difference in by_task.values() if difference.has_interval]
    pairs = [difference.n for difference in by_task.values()]
    return Headline(
        over_tasks=mean_interval({"/".join(pair): by_task[pair].mean for pair in informative or by_task}),
        by_task=by_task,
        seeds=(min(pairs), max(pairs)),
        with_interval=len(with_interval),
        containing_zero=sum(difference.low <= 0 <= difference.high for difference in with_interval),
    )


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Trained parameters of a method on a backbone; lists hold one value per task (heads differ in size)."""

    backbone: str
    method: str
    adapter: list[int]
    head: list[int]
    total: list[int]
    base: list[int]
    shares: dict[str, list[float]]
    """By CONVENTIONS."""


CONVENTIONS = ("adapter/base", "adapter/(base+adapter)", "(adapter+head)/(base+adapter+head)")
"""Of `frod.method.shares`, those that the page shows."""


def parameter_counts(summary: pd.DataFrame, methods: Sequence[str], kinds: Mapping[str, str]) -> list[ParameterCount]:
    """Counts by backbone and method.

    Parameters
    ----------
    kinds : mapping of method to its kind
        Full fine-tuning trains the base itself: nothing is added to it, so its whole is the base.
    """
    found = []
    for backbone, on_backbone in summary.groupby("backbone", sort=False):
        for method in methods:
            runs = on_backbone[on_backbone["method"] == method].drop_duplicates("task")
            if runs.empty:
                continue
            columns = ("adapter_parameters", "head_parameters", "trainable_parameters", "base_parameters")
            adapter, head, total, base = ([int(v) for v in runs[column]] for column in columns)
            added = 0 if kinds[method] == REFERENCE else None
            every = [
                shares(adapter=a, head=h, base=b, added=added) for a, h, b in zip(adapter, head, base, strict=True)
            ]
            found.append(
                ParameterCount(
                    backbone=str(backbone),
                    method=method,
                    adapter=adapter,
                    head=head,
                    total=total,
                    base=base,
                    shares={convention: [one[convention] for one in every] for convention in CONVENTIONS},
                )
            )
    return found


def costs(summary: pd.DataFrame, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Time and memory by task, backbone and method: medians over seeds, ratios paired by seed.

    Runs that stopped early are left out; a method with no other has a row without figures.
    """
    found, lost = [], {key for key, why in undefined(summary).items() if stopped(why)}
    for (task, backbone), every in by_pair(summary).items():
        runs = every[[(task, backbone, m, s) not in lost for m, s in zip(every["method"], every["seed"])]]
        steps = {method: _finite(of_method, "step_seconds_median") for method, of_method in runs.groupby("method")}
        for method in methods:
            if method not in set(every["method"]):
                continue
            of_method = runs[runs["method"] == method]
            own, base = steps.get(method, {}), steps.get(REFERENCE, {})
            shared = sorted(set(own) & set(base))
            ratios = [own[seed] / base[seed] for seed in shared if base[seed] > 0]
            row = {"task": task, "backbone": backbone, "method": method, "runs": len(of_method)}
            row["step_ratio"] = median(ratios) if ratios else math.nan
            for column in ("step_seconds_median", "train_seconds", "peak_rss_bytes", "peak_gpu_bytes"):
                values = _finite(of_method, column).values()
                row[column] = median(values) if values else math.nan
            found.append(row)
    return found


def _finite(runs: pd.DataFrame, column: str) -> dict[int, float]:
    """A column's finite numbers by seed, in the seeds' order."""
    values = sorted(zip(runs["seed"].astype(int), runs[column].astype(float)))
    return {seed: value for seed, value in values if math.isfinite(value)}
