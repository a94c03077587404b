"""Training losses of a suite, measured: area under each curve, steps and seconds to each level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from frod.claims.evidence import Evidence, Pair, Values, values_of
from frod.evaluation import convergence
from frod.provenance.run_keys import RunKey, pair_label

LEVELS = (0.75, 0.5, 0.25, 0.1)
"""As fractions of the start level."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run."""

    area: float
    """Under the moving average, in units of the start level; nan where a loss is not finite, or the run diverged."""
    steps: tuple[float, ...]
    """To each level; nan where it was not reached, or the run diverged."""
    seconds: tuple[float, ...]
    """Of training, likewise."""
    all_steps: float
    """Of the budget."""
    all_seconds: float
    """That these take; of a run that diverged, at the pace that it had."""


class Curves:
    """Curves of all runs of a suite.

    Raises
    ------
    ValueError
        A task has no manifest to say how many classes it has.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        by_pair: dict[Pair, list[RunKey]] = {}
        for key in sorted(evidence.histories):
            by_pair.setdefault((key[0], key[1]), []).append(key)
        self.starts = {pair: self._start(pair, keys) for pair, keys in by_pair.items()}
        self.of = {key: self._measure(key) for keys in by_pair.values() for key in keys}

    def _losses(self, key: RunKey):
        return self.evidence.histories[key]["loss"].to_numpy(dtype=float)

    def _start(self, pair: Pair, keys: list[RunKey]) -> float:
        """Loss of a uniform guess; where not of classes, the mean of the first smoothed losses of runs that held."""
        manifest = self.evidence.manifests.get(pair)
        if manifest is None:
            raise ValueError(
                f"manifests: has none of {pair_label(*pair)}; the number of classes says where its loss starts"
            )
        if manifest["num_classes"] > 1 and "scoring" not in manifest:
            return math.log(manifest["num_classes"])
        whole = [key for key in keys if not self.evidence.stopped(key)]
        firsts = [float(convergence.smoothed(self._losses(key))[0]) for key in whole]
        finite = [loss for loss in firsts if math.isfinite(loss)]
        return math.fsum(finite) / len(finite) if finite else math.nan

    def _measure(self, key: RunKey) -> Curve:
        start, losses = self.starts[key[0], key[1]], self._losses(key)
        history = self.evidence.histories[key]
        step, seconds = history["step"].to_numpy(dtype=float), history["seconds"].to_numpy(dtype=float)
        planned = (self.evidence.records[key].get("budget") or {}).get("steps") or step[-1]
        whole = {"all_steps": float(planned), "all_seconds": float(seconds[-1] / step[-1] * planned)}
        if not start > 0 or self.evidence.stopped(key):  # what it had reached before does not count: it lost it
            none = (math.nan,) * len(LEVELS)
            return Curve(area=math.nan, steps=none, seconds=none, **whole)
        reached = [convergence.first_step_below(losses, level * start) for level in LEVELS]
        return Curve(
            area=convergence.area(losses, start),
            steps=tuple(math.nan if n is None else float(step[n - 1]) for n in reached),
            seconds=tuple(math.nan if n is None else float(seconds[n - 1]) for n in reached),
            **whole,
        )

    @cached_property
    def areas(self) -> Values:
        """Area of each run."""
        return values_of((key, curve.area) for key, curve in self.of.items())

    def to_level(self, quantity: str, index: int, *, capped: bool = False) -> Values:
        """Steps or seconds of each run to one of LEVELS; where it was not reached nan or, capped, all of the budget."""
        found = {key: getattr(curve, quantity)[index] for key, curve in self.of.items()}
        if capped:
            found = {k: getattr(self.of[k], f"all_{quantity}") if math.isnan(n) else n for k, n in found.items()}
        return values_of((key, number) for key, number in found.items())
