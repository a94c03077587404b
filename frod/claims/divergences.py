"""Trainings that diverged: they have no figure, and so they are counted, against the method that they are of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from frod.claims.claim import cell, figure, table
from frod.claims.evidence import ONE_SIDED, SUBJECT, Evidence, Pair, name, run
from frod.claims.wording import number, p_value
from frod.evaluation.inference import holm, sign_p

NOTE = (
    "Runs, and trials of the learning rates, whose loss, gradient or scores were not finite, of all that there were. "
    "Empty: none diverged."
)


@dataclass(frozen=True, kw_only=True)
class Count:
    """Of one method on one task: how many diverged, of how many."""

    runs: int
    of_runs: int
    trials: int
    of_trials: int

    @property
    def any(self) -> bool:
        """Whether one did."""
        return bool(self.runs or self.trials)

    @property
    def share(self) -> float:
        """Of the runs. A trial may be of a rate that no one would take; the runs' rates were chosen."""
        return self.runs / self.of_runs

    def text(self) -> str:
        """1 of 3 runs, 2 of 4 trials."""
        said = [f"{self.runs} of {number(self.of_runs, 'run')}"] if self.runs else []
        said += [f"{self.trials} of {number(self.of_trials, 'trial')}"] if self.trials else []
        return ", ".join(said)


@dataclass(frozen=True, kw_only=True)
class Sign:
    """FRoD's runs that diverged against another method's, task by task."""

    more: int
    """Tasks on which FRoD's diverged more often."""
    less: int
    p: float
    """Of the one-sided exact sign test that they do so no more than half the time; corrected over methods."""

    @property
    def shown(self) -> bool:
        """Whether FRoD's are shown to diverge more often."""
        return self.p < ONE_SIDED


class Divergences:
    """All of a suite."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.of = {
            (pair, method): _count(evidence, pair, method)
            for pair, methods in evidence.points.items()
            for method in evidence.methods
            if method in methods
        }

    @property
    def any(self) -> bool:
        """Whether any training diverged."""
        return any(count.any for count in self.of.values())

    def on(self, method: str) -> list[Pair]:
        """Tasks on which trainings of a method diverged."""
        return [pair for (pair, m), count in self.of.items() if m == method and count.any]

    def signs(self, others: Iterable[str]) -> dict[str, Sign]:
        """Whether runs of FRoD diverge more often than those of each other method, over the tasks that both have."""
        found = {}
        for method in others:
            both = [
                (count.share, self.of[pair, SUBJECT].share)
                for (pair, m), count in self.of.items()
                if m == method and (pair, SUBJECT) in self.of
            ]
            found[method] = (sum(theirs < ours for theirs, ours in both), sum(theirs > ours for theirs, ours in both))
        corrected = holm([sign_p(more, less) for more, less in found.values()])
        return {m: Sign(more=more, less=less, p=p) for (m, (more, less)), p in zip(found.items(), corrected)}

    def sentence(self) -> str:
        """How many trainings of each method diverged; nothing where none did."""
        counts = {method: self._trainings(method) for method in self.evidence.methods}
        told = [
            f"{self.evidence.label(method)} {diverged} of {number(trainings, 'training')}"
            for method, (diverged, trainings) in counts.items()
            if diverged
        ]
        return f" Diverged, runs and trials together: {', '.join(told)}." if told else ""

    def figures(self, methods: Iterable[str]) -> list[dict[str, Any]]:
        """How many trainings of each method diverged; none where no method's did."""
        counts = {method: self._trainings(method) for method in methods} if self.any else {}
        return [
            figure(f"diverged, {self.evidence.label(method)}", diverged, unit="trainings", n=trainings)
            for method, (diverged, trainings) in counts.items()
        ]

    def table(self, signs: dict[str, Sign]) -> dict[str, Any]:
        """A row per task on which any training diverged, and one of what the sign tests say."""
        methods = self.evidence.methods
        rows: list[list[Any]] = [
            [name(pair), *(self._cell(pair, method) for method in methods)]
            for pair in self.evidence.points
            if any(self.of[pair, m].any for m in methods if (pair, m) in self.of)
        ]
        tests = [f"{s.more} / {s.less}, p {p_value(s.p)}" if (s := signs.get(m)) else None for m in methods]
        rows.append(["tasks on which runs of FRoD did more / less often; sign test, Holm", *tests])
        columns = ["task", *(self.evidence.label(method) for method in methods)]
        return table("Trainings that diverged", columns, rows, note=NOTE)

    def _trainings(self, method: str) -> tuple[int, int]:
        """Runs and trials that diverged, and all."""
        counts = [count for (_, m), count in self.of.items() if m == method]
        return (
            sum(count.runs + count.trials for count in counts),
            sum(count.of_runs + count.of_trials for count in counts),
        )

    def _cell(self, pair: Pair, method: str) -> dict[str, Any] | None:
        count = self.of.get((pair, method))
        where = run(pair, method)
        return cell(count.runs + count.trials, text=count.text(), run=where) if count and count.any else None


def _count(evidence: Evidence, pair: Pair, method: str) -> Count:
    trials = (evidence.tuning.get((*pair, method)) or {}).get("trials") or []
    return Count(
        runs=evidence.diverged_of(pair, method),
        of_runs=len(evidence.points[pair][method]),
        trials=sum(bool(trial["diverged"]) for trial in trials),
        of_trials=len(trials),
    )
