"""What tells a run of a suite from the others, and what a run without a figure is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "full_ft"
SUBJECT = "frod"


class RunKey(NamedTuple):
    """Which run of a suite."""

    task: str
    backbone: str
    method: str
    seed: int

    @property
    def path(self) -> str:
        """Below results/SUITE."""
        return f"{self.task}/{self.backbone}/{self.method}/seed-{self.seed}"


def pair_label(task: str, backbone: str) -> str:
    """One task on one backbone."""
    return f"{task} on {backbone}"


# Why a run or a trial has no figure stands in one line under `undefined` in records, trials, metrics and tables; None
# where it has one. The word before the first colon is what tables show.
DIVERGED = "diverged"
"""The loss, a gradient or a score was not finite: training stopped there, without predictions or anything trained."""
CONSTANT = "constant"
"""The metric, a correlation, is not defined on predictions (or labels) that do not vary."""


def word(reason: str) -> str:
    """Why there is no figure, in a word."""
    return reason.partition(":")[0]


def words(reasons: Iterable[str]) -> str:
    """Why there are no figures, counted: 2 diverged, 1 constant."""
    return ", ".join(f"{count} {what}" for what, count in Counter(map(word, reasons)).items())


def stopped(reason: str | None) -> bool:
    """Whether a training ended before its budget did."""
    return reason is not None and word(reason) == DIVERGED


def undefined(summary: pd.DataFrame) -> dict[RunKey, str]:
    """Runs without a figure on test, in the summary's order, and why."""
    lost = summary[summary["test"].isna()]
    columns = (lost[name] for name in (*RunKey._fields, "undefined"))
    return {RunKey(task, backbone, method, int(seed)): why for task, backbone, method, seed, why in zip(*columns)}
