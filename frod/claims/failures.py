"""Trainings without a figure, as they diverged or their metric is undefined: counted, against their method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from frod.claims.claim import cell, figure, table
from frod.claims.evidence import ONE_SIDED, Evidence, Pair, run
from frod.evaluation.formatting import number, p_value
from frod.evaluation.inference import holm, sign_p
from frod.provenance.run_keys import SUBJECT, pair_label, words

NOTE = (
    "Runs, and trials of the learning rates, that have no figure, of all that there were. diverged: a loss, gradient "
    "or score was not finite; constant: a correlation with predictions that do not vary. Empty: each has one."
)


@dataclass(frozen=True, kw_only=True)
class Count:
    """Of one method on one task: why trainings have no figure, of how many."""

    runs: list[str]
    of_runs: int
    trials: list[str]
    of_trials: int

    @property
    def reasons(self) -> list[str]:
        """Of runs and trials."""
        return [*self.runs, *self.trials]

    def text(self) -> str:
        """1 of 3 runs, 2 of 4 trials (2 diverged, 1 constant)."""
        of = ((self.runs, self.of_runs, "run"), (self.trials, self.of_trials, "trial"))
        said = [f"{len(lost)} of {number(count, what)}" for lost, count, what in of if lost]
        return f"{', '.join(said)} ({words(self.reasons)})"


@dataclass(frozen=True, kw_only=True)
class Sign:
    """FRoD's runs without a figure against another method's, task by task."""

    more: int
    """Tasks on which FRoD has more of them."""
    less: int
    p: float
    """Of the one-sided exact sign test that it has more no more than half the time; corrected over methods."""

    @property
    def shown(self) -> bool:
        """Whether FRoD is shown to have more of them."""
        return self.p < ONE_SIDED


class Failures:
    """All of a suite."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.of = {
            (pair, method): _count(evidence, pair, method)
            for pair, methods in evidence.points.items()
            for method in evidence.methods
            if method in methods
        }
        of_method = {method: [count for (_, m), count in self.of.items() if m == method] for method in evidence.methods}
        self.by_method = {
            method: ([why for of in counts for why in of.reasons], sum(of.of_runs + of.of_trials for of in counts))
            for method, counts in of_method.items()
        }
        """Why runs and trials have no figure, and how many there are in all."""

    @property
    def any(self) -> bool:
        """Whether any training has no figure."""
        return any(lost for lost, _ in self.by_method.values())

    def on(self, method: str) -> list[Pair]:
        """Tasks on which trainings of a method have no figure."""
        return [pair for (pair, m), count in self.of.items() if m == method and count.reasons]

    def signs(self, others: Iterable[str]) -> dict[str, Sign]:
        """Whether FRoD has more runs without a figure than each other method, over the tasks that both have.

        Trials do not count: one may be of a rate that no one would take; the runs' rates were chosen.
        """
        found = {}
        for method in others:
            both = [
                (len(ours.runs) / ours.of_runs, len(theirs.runs) / theirs.of_runs)
                for (pair, m), theirs in self.of.items()
                if m == method and (ours := self.of.get((pair, SUBJECT)))
            ]
            found[method] = (sum(ours > theirs for ours, theirs in both), sum(ours < theirs for ours, theirs in both))
        corrected = holm([sign_p(more, less) for more, less in found.values()])
        return {m: Sign(more=more, less=less, p=p) for (m, (more, less)), p in zip(found.items(), corrected)}

    def sentence(self) -> str:
        """How many trainings of each method have no figure, and why; nothing where each has one."""
        told = [
            f"{self.evidence.label(method)} {len(lost)} of {number(trainings, 'training')} ({words(lost)})"
            for method, (lost, trainings) in self.by_method.items()
            if lost
        ]
        return f" Without a figure, runs and trials together: {', '.join(told)}." if told else ""

    def figures(self, methods: Iterable[str]) -> list[dict[str, Any]]:
        """How many trainings of each method have no figure; none where all have one."""
        counts = {method: self.by_method.get(method, ([], 0)) for method in methods} if self.any else {}
        return [
            figure(f"without a figure, {self.evidence.label(method)}", len(lost), unit="trainings", n=trainings)
            for method, (lost, trainings) in counts.items()
        ]

    def table(self, signs: dict[str, Sign]) -> dict[str, Any]:
        """A row per task on which any training has no figure, and one of what the sign tests say."""
        methods = self.evidence.methods
        rows: list[list[Any]] = [
            [pair_label(*pair), *(self._cell(pair, method) for method in methods)]
            for pair in self.evidence.points
            if any(self.of[pair, m].reasons for m in methods if (pair, m) in self.of)
        ]
        tests = [f"{s.more} / {s.less}, p {p_value(s.p)}" if (s := signs.get(m)) else None for m in methods]
        rows.append(["tasks on which FRoD has more / fewer such runs; sign test, Holm", *tests])
        columns = ["task", *(self.evidence.label(method) for method in methods)]
        return table("Trainings without a figure", columns, rows, note=NOTE)

    def _cell(self, pair: Pair, method: str) -> dict[str, Any] | None:
        count = self.of.get((pair, method))
        return cell(len(count.reasons), text=count.text(), run=run(pair, method)) if count and count.reasons else None


def _count(evidence: Evidence, pair: Pair, method: str) -> Count:
    trials = (evidence.tuning.get((*pair, method)) or {}).get("trials") or []
    return Count(
        runs=evidence.undefined_of(pair, method),
        of_runs=len(evidence.points[pair][method]),
        trials=[trial["undefined"] for trial in trials if trial["undefined"]],
        of_trials=len(trials),
    )
