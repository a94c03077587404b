"""What a claim is judged by: the files of a finished suite, read, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from frod.config.rates import at_edge
from frod.provenance.run_keys import SUBJECT, RunKey, pair_label, stopped, undefined

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CONFIDENCE = 0.95
"""Of every two-sided interval; a one-sided test then has the level 0.025, and both agree."""
ONE_SIDED = (1 - CONFIDENCE) / 2
TWO_SIDED = 1 - CONFIDENCE
Pair = tuple[str, str]
"""task, backbone: what tables call a task."""
Values = dict[Pair, dict[str, dict[int, float]]]
"""A number of each run: by task and backbone, method, seed; nan where it is undefined."""


class OnTest(NamedTuple):
    """What a run's predictions of test say."""

    loss: float
    blocks: np.ndarray
    """The primary metric by block of examples: see `frod.evaluation.examples.by_block`."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the claims are judged by."""

    suite: str
    margin: float
    """Points."""
    summary: pd.DataFrame
    """As `frod.evaluation.summary.summarise` gives it."""
    histories: Mapping[RunKey, pd.DataFrame]
    records: Mapping[RunKey, Mapping[str, Any]]
    manifests: Mapping[Pair, Mapping[str, Any]]
    """Of the prepared tasks."""
    tuning: Mapping[tuple[str, str, str], Mapping[str, Any]]
    """What rates.json holds, by task, backbone and method; empty where rates were given."""
    spectra: Mapping[tuple[str, str, str], pd.DataFrame]
    """Singular values of W' - W, by task, backbone and method: a row per seed and layer."""
    sharpness: Mapping[tuple[str, str, str], pd.DataFrame]
    """Losses under perturbation, by task, backbone and method: as `frod.runs.sharpness` writes them."""
    on_test: Mapping[RunKey, OnTest]
    """Of runs that have a figure."""
    labels: Mapping[str, str]
    """Names of the methods to show, in the order to show them in."""
    kinds: Mapping[str, str]
    """full_ft, linear_probe, frod or peft, by method."""

    @cached_property
    def methods(self) -> list[str]:
        """Methods that ran, in the labels' order."""
        ran = set(self.summary["method"])
        return [*(m for m in self.labels if m in ran), *sorted(ran - set(self.labels))]

    @property
    def peft_baselines(self) -> list[str]:
        """LoRA and its kin: what the abstract calls more efficient than."""
        return [method for method in self.methods if self.kinds.get(method) == "peft"]

    @property
    def others(self) -> list[str]:
        """All methods but the one under test."""
        return [method for method in self.methods if method != SUBJECT]

    def label(self, method: str) -> str:
        """A method's name in a sentence."""
        return self.labels.get(method, method)

    @cached_property
    def metrics(self) -> dict[Pair, str]:
        """Each task's primary metric, in words."""
        named = self.summary[["task", "backbone", "primary"]].itertuples(index=False)
        return {(task, backbone): metric.replace("_", " ") for task, backbone, metric in named}

    @cached_property
    def undefined(self) -> dict[RunKey, str]:
        """Runs without a figure on test, and why."""
        return undefined(self.summary)

    def at_these_rates(self, methods: Collection[str]) -> str:
        """What figures of these methods hold for, and how many of the choices lie where a better one may be missed."""
        drawn = [chosen for key, chosen in self.tuning.items() if key[2] in methods and chosen.get("box")]
        edge = sum(bool(at_edge(one["box"], one["trials"][one["index"]]["rates"])) for one in drawn)
        return f"at these rates ({edge} of {len(drawn)} choices at the edge of their box)" if edge else "at these rates"

    def undefined_of(self, pair: Pair, method: str) -> list[str]:
        """Why runs of a method on a task have no figure."""
        return [why for key, why in self.undefined.items() if key[:3] == (*pair, method)]

    def stopped(self, key: RunKey) -> bool:
        """Whether a training ended before its budget did."""
        return stopped(self.undefined.get(key))

    @cached_property
    def points(self) -> Values:
        """Each run's primary metric on test, in points."""
        columns = (self.summary[name] for name in (*RunKey._fields, "test"))
        return values_of((RunKey(*key), 100 * float(test)) for *key, test in zip(*columns))

    @cached_property
    def losses(self) -> Values:
        """Each run's loss on test; nan where it has no figure."""
        columns = (self.summary[name] for name in RunKey._fields)
        keys = [RunKey(*key) for key in zip(*columns)]
        return values_of((key, self.on_test[key].loss if key in self.on_test else math.nan) for key in keys)

    @cached_property
    def families(self) -> dict[str, str]:
        """Tasks that share data or a backbone, if only through others, are of one family: its first task, by task."""
        first = {pair: pair for pair in self.points}
        for one, other in combinations(self.points, 2):
            if one[1] == other[1] or self._data(one) & self._data(other):
                first = {pair: first[one] if of == first[other] else of for pair, of in first.items()}
        return {pair_label(*pair): pair_label(*of) for pair, of in first.items()}

    def _data(self, pair: Pair) -> set[str]:
        """What tells a task's data: the sha256 of their files, and the data set, package or generator they are of.

        A path's name tells nothing: many a file is called train.csv.
        """
        source = self.manifests.get(pair, {}).get("source") or {}
        what = source.get("what", pair[0])
        return set(source.get("files", {}).values()) | (set() if what.startswith("path ") else {what})


def values_of(numbers: Iterator[tuple[RunKey, float]]) -> Values:
    """Sort the numbers of runs by task and backbone, method, seed; what is not finite becomes nan."""
    found: Values = {}
    for (task, backbone, method, seed), value in numbers:
        of_method = found.setdefault((task, backbone), {}).setdefault(method, {})
        of_method[int(seed)] = value if math.isfinite(value) else math.nan
    return found


def run(pair: Pair, method: str) -> str:
    """Where the runs of a method are, for a link."""
    return f"{pair[0]}/{pair[1]}/{method}"
