"""What differs between two reports: runs, results with intervals, claims, and the settings behind them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from frod.evaluation.statistics import over_seeds, paired_difference
from frod.provenance.run_keys import word
from frod.reporting.compare import run_files
from frod.reporting.compare.conditions import Setting, settings
from frod.reporting.compare.revisions import Side
from frod.reporting.compare.run_files import Digests

if TYPE_CHECKING:
    import pandas as pd

KEY = ["task", "backbone", "method"]
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The runs of one method on one task, on one side."""

    seeds: tuple[int, ...]
    primary: str | None
    mean: float | None
    """Of the test metric, over the seeds where it is defined; a fraction."""
    spread: float | None
    """Standard deviation over seeds; None for fewer than two."""
    undefined: dict[int, str]
    """Seeds whose run has no figure, and why, in a word."""
    trained: tuple[int, ...]
    """Numbers of trained parameters that occur: one, but for a fault."""
    seconds: float | None
    """Mean of the seconds of training, of runs that have a figure."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one task, on both sides."""

    task: str
    backbone: str
    method: str
    a: Arm | None
    b: Arm | None
    difference: float | None
    """B - A."""
    low: float | None
    high: float | None
    how: str | None
    """`paired`: by seed; `welch`: unpaired, unequal variances; None where they cannot be compared."""
    same: bool
    """Whether both sides have the same seeds, test metrics and numbers of parameters."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One claim on both sides; a verdict is None where a side does not have it."""

    id: str
    title: str
    a: str | None
    b: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that differs between two sides."""

    a: str
    b: str
    only_a: list[str]
    """Runs that only A has."""
    only_b: list[str]
    rows: list[Row]
    claims: list[Verdict]
    files: Digests | None
    """Adapters and predictions; None where a side does not say."""
    settings: list[Setting]
    unknown: list[str]
    """What could not be looked at, in sentences."""

    @property
    def differ(self) -> bool:
        """Whether results differ: runs, test metrics, numbers of parameters, verdicts, or files that should not.

        Neither times, hosts, memory nor commits: these show among the settings, or not at all.
        """
        verdicts = any(claim.a != claim.b for claim in self.claims)
        return verdicts or not all(row.same for row in self.rows) or (self.files is not None and self.files.differ)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"layout": 1, "differ": self.differ, "confidence": CONFIDENCE, **asdict(self)}


def compare(a: Side, b: Side) -> Comparison:
    """Compare two reports; differences are B - A."""
    runs_a, runs_b = _runs(a.results), _runs(b.results)
    groups_a, groups_b = _groups(a.results), _groups(b.results)
    return Comparison(
        a=a.name,
        b=b.name,
        only_a=[run for run in runs_a if run not in set(runs_b)],
        only_b=[run for run in runs_b if run not in set(runs_a)],
        rows=[_row(key, groups_a.get(key), groups_b.get(key)) for key in dict.fromkeys([*groups_a, *groups_b])],
        claims=_verdicts(a.claims, b.claims),
        files=run_files.compare(a.runs, b.runs),
        settings=settings(a, b),
        unknown=list(dict.fromkeys(_unknown(a, b))),
    )


def _runs(results: pd.DataFrame) -> list[str]:
    return [f"{r.task}/{r.backbone}/{r.method}/seed-{r.seed}" for r in results.itertuples()]


def _groups(results: pd.DataFrame) -> dict[tuple[str, str, str], pd.DataFrame]:
    groups = results.groupby(KEY, sort=False)
    return {(str(task), str(backbone), str(method)): rows for (task, backbone, method), rows in groups}


def _row(key: tuple[str, str, str], a: pd.DataFrame | None, b: pd.DataFrame | None) -> Row:
    arms = [None if side is None else _arm(side) for side in (a, b)]
    difference: tuple[Any, ...] = (None, None, None, None)
    same = False
    if a is not None and b is not None and arms[0] and arms[1]:
        first, second = _tests(a), _tests(b)
        same = first == second and arms[0].trained == arms[1].trained and set(a["seed"]) == set(b["seed"])
        same = same and arms[0].undefined == arms[1].undefined
        if arms[0].primary == arms[1].primary and first and second:
            paired = set(first) == set(second) and _orders(a) == _orders(b) is not None
            found = paired_difference(second, first, confidence=CONFIDENCE) if paired else None
            difference = (found.mean, found.low, found.high, "paired") if found else _welch(first, second)
    value, low, high, how = difference
    return Row(
        **dict(zip(KEY, key)),
        a=arms[0],
        b=arms[1],
        difference=value,
        low=_finite(low),
        high=_finite(high),
        how=how,
        same=same,
    )


def _arm(rows: pd.DataFrame) -> Arm:
    tests, lost = _tests(rows), _undefined(rows)
    over = over_seeds(list(tests.values())) if tests else None
    held = rows[[int(seed) not in lost for seed in rows["seed"]]]
    return Arm(
        seeds=tuple(sorted(map(int, rows["seed"]))),
        primary=str(rows["primary"].iloc[0]) if "primary" in rows else None,
        mean=over.mean if over else None,
        spread=_finite(over.spread) if over else None,
        undefined=lost,
        trained=tuple(sorted({int(count) for count in rows.get("trainable_parameters", ())})),
        seconds=_finite(float(held["train_seconds"].mean())) if "train_seconds" in rows else None,
    )


def _undefined(rows: pd.DataFrame) -> dict[int, str]:
    """Why seeds have no figure, in a word; reports of before there was such a column do not say."""
    lost = rows[rows["test"].isna()].sort_values("seed")
    reasons = lost["undefined"] if "undefined" in lost else ["undefined"] * len(lost)
    return {int(seed): word(why) for seed, why in zip(lost["seed"], reasons)}


def _tests(rows: pd.DataFrame) -> dict[int, float]:
    """Test metric by seed, where it is defined."""
    by_seed = {int(seed): float(test) for seed, test in zip(rows["seed"], rows["test"])}
    return {seed: by_seed[seed] for seed in sorted(by_seed) if math.isfinite(by_seed[seed])}


def _orders(rows: pd.DataFrame) -> dict[int, Any] | None:
    """The order of examples by seed; without it, nothing says that seeds of two reports belong together."""
    if "order_sha256" not in rows:
        return None
    return dict(zip(map(int, rows["seed"]), rows["order_sha256"]))


def _welch(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[float, float, float, str]:
    """Difference of means with Welch's interval: none for fewer than two runs on a side, or without any spread."""
    from scipy.stats import ttest_ind

    low = high = math.nan
    if min(len(a), len(b)) > 1 and len({*a.values()}) + len({*b.values()}) > 2:
        with warnings.catch_warnings(action="ignore"):  # that one side has no spread
            low, high = ttest_ind(list(b.values()), list(a.values()), equal_var=False).confidence_interval(CONFIDENCE)
    return fmean(b.values()) - fmean(a.values()), float(low), float(high), "welch"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _verdicts(a: list[dict[str, Any]] | None, b: list[dict[str, Any]] | None) -> list[Verdict]:
    """Claims side by side, where both reports have claims."""
    if a is None or b is None:
        return []
    titles = {claim["id"]: claim["title"] for claim in (*a, *b)}
    verdicts = [
        {claim["id"]: claim["finding"] if claim["verdict"] == "not_supported" else claim["verdict"] for claim in of}
        for of in (a, b)
    ]
    return [Verdict(id=i, title=title, a=verdicts[0].get(i), b=verdicts[1].get(i)) for i, title in titles.items()]


def _unknown(a: Side, b: Side) -> Iterable[str]:
    for side in (a, b):
        if side.report is None:
            yield f"{side.name} has no report.json: parameters and data are not compared."
        if side.claims is None:
            yield f"{side.name} has no claims.json: verdicts are not compared."
        if side.runs is None:
            yield f"{side.name} has no runs.json: adapters and predictions are not compared."
        if side.report is not None and not side.records:
            yield f"The runs of {side.name} do not lie here as it read them: packages are not compared."
