"""Claim: FRoD's updates are of full rank, where LoRA's are of low rank. Read off the singular values of W' - W."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from frod.claims.against import Against, Quantity, against_each, not_shown, rule, sentence, table_of
from frod.claims.claim import Verdict, cell, claim, contradicted, figure, supported, table, undecided, untestable
from frod.claims.evidence import Evidence, Pair, Values, run, values_of
from frod.evaluation import spectra
from frod.evaluation.formatting import listed, per_cent, significant
from frod.provenance.run_keys import SUBJECT, RunKey, pair_label

if TYPE_CHECKING:
    import pandas as pd

SAYS = "FRoD's updates are flexible and of full rank, without the constraint of a low one."
TEST = (
    "Effective rank of W' − W (m × n) of every adapted layer, as a share of min(m, n): exp of the entropy of the "
    "singular values as shares of their sum (Roy and Vetterli, 2007). FRoD's less the other's, paired by layer and "
    f"seed; mean over layers. {rule('higher', 'lower')} That the rank is full in the strict sense is no test: with "
    "scaling factors changed, as with any noise, no singular value is zero. It stands in the table. A run that "
    "diverged has no weights to take a spectrum of: with one of FRoD its rank is not found higher."
)
NOTE = (
    "Shares of min(m, n), medians over layers and seeds. Numerical rank: singular values above ε · ‖W‖, which is what "
    "rounding the weights to float32 can add or hide; by numpy's stricter rule above max(m, n) · ε · s₁ as well. "
    "Stable rank: ‖W' − W‖² (Frobenius) over s₁²."
)
AGAINST_NOTE = "FRoD's effective rank less the other's, in points of min(m, n): above 0, FRoD's was higher."


@dataclass(frozen=True, kw_only=True)
class Ranks(spectra.Rank):
    """One method on one task: each figure's median over layers and seeds."""

    effective_of: dict[int, dict[str, float]]
    """Effective rank by seed and layer."""

    @property
    def layers(self) -> set[str]:
        """Those that were adapted."""
        return {layer for of in self.effective_of.values() for layer in of}


def full_rank(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD's updates spread over more directions than those of peft's methods."""
    found = _found(evidence)
    rank = Quantity(label="effective rank", values=_by_run(evidence, found), more_is_better=True, digits=1)
    against = against_each(evidence, rank)
    title = "Effective rank, FRoD and each other method"
    return claim(
        "full_rank",
        title="Full-rank updates",
        says=SAYS,
        test=TEST,
        verdict=_verdict(evidence, found, against),
        figures=_figures(evidence, found, against),
        tables=([table_of(evidence, against, title, AGAINST_NOTE)] if against else [])
        + ([_table(evidence, found)] if found else []),
    )


def effective_ranks(evidence: Evidence) -> Values:
    """Effective rank of each run in points of min(m, n): mean over the layers that all methods on a task adapted."""
    return _by_run(evidence, _found(evidence))


def _found(evidence: Evidence) -> dict[Pair, dict[str, Ranks]]:
    found: dict[Pair, dict[str, Ranks]] = {}
    for task, backbone, method in sorted(evidence.spectra):
        spectrum = evidence.spectra[task, backbone, method]  # read here: those of a large suite together take gigabytes
        if len(spectrum):
            found.setdefault((task, backbone), {})[method] = _ranks(spectrum)
    return found


def _ranks(spectrum: pd.DataFrame) -> Ranks:
    each = [
        spectra.ranks(
            row["singular_values"], shape=(row["out_features"], row["in_features"]), weight_norm=row["weight_norm"]
        )
        for row in spectrum.to_dict("records")
    ]
    effective: dict[int, dict[str, float]] = {}
    for seed, layer, of in zip(spectrum["seed"], spectrum["layer"], each):
        effective.setdefault(int(seed), {})[layer] = of.effective
    names = [field.name for field in fields(spectra.Rank)]
    return Ranks(effective_of=effective, **{name: median(getattr(of, name) for of in each) for name in names})


def _by_run(evidence: Evidence, found: Mapping[Pair, Mapping[str, Ranks]]) -> Values:
    """Effective rank of each run in points: mean over the layers that all methods on the task have adapted."""
    means = {}
    for pair, methods in evidence.points.items():
        ranks = found.get(pair, {})
        shared = set.intersection(*(of.layers for of in ranks.values())) if ranks else set()
        for method, seed in ((method, seed) for method, seeds in methods.items() for seed in seeds):
            layers = ranks[method].effective_of.get(seed, {}) if method in ranks else {}
            whole = [layers[layer] for layer in sorted(shared) if layer in layers]
            means[RunKey(*pair, method, seed)] = 100 * fmean(whole) if whole else math.nan
    return values_of((key, mean) for key, mean in means.items())


def _verdict(evidence: Evidence, found: Mapping[Pair, Mapping[str, Ranks]], against: list[Against]) -> Verdict:
    if SUBJECT not in evidence.methods or not evidence.peft_baselines:
        return untestable(f"No run of {'FRoD' if evidence.peft_baselines else 'LoRA or its kin'}.")
    lost = [
        f"{pair_label(*key[:2])}, seed {key.seed}"
        for key in sorted(evidence.undefined)
        if key.method == SUBJECT and evidence.stopped(key)
    ]
    absent = [pair_label(*p) for p, of in evidence.points.items() if SUBJECT in of and SUBJECT not in found.get(p, {})]
    baselines = [of for of in against if of.method in evidence.peft_baselines]
    if not baselines or all(of.over.deciding.n < 2 for of in baselines):
        none = "There are no two runs of FRoD with a spectrum to set against LoRA or its kin"
        return undecided(f"{none}: runs diverged on {listed(lost)}.") if lost else untestable(f"{none}.")
    said = sentence(evidence, baselines)
    said += (
        f" Numerical rank of FRoD's updates by numpy's rule: {_lowest(found)} of the full or more (median over layers)."
    )
    if any(of.worse for of in baselines):
        return contradicted(said)
    unseen = [evidence.label(m) for m in evidence.peft_baselines if m not in [of.method for of in baselines]]
    missing = [f"the runs of FRoD that diverged: {listed(lost)}"] if lost else []
    missing += [f"a spectrum of FRoD on {listed(absent)}"] if absent else []
    missing += [f"a spectrum of {listed(unseen)} on a shared seed"] if unseen else []
    if missing:
        return undecided(f"{said} Without {'; without '.join(missing)}.")
    if all(of.better for of in baselines):
        return supported(said)
    return undecided(f"{said} {not_shown(evidence, baselines, 'higher', 'lower')}")


def _lowest(found: Mapping[Pair, Mapping[str, Ranks]]) -> str:
    """Over tasks."""
    return per_cent(min(of[SUBJECT].strict for of in found.values() if SUBJECT in of), 1)


def _figures(
    evidence: Evidence, found: Mapping[Pair, Mapping[str, Ranks]], against: list[Against]
) -> list[dict[str, Any]]:
    figures = []
    for one in against:
        of, name = one.over.deciding, f"effective rank less that of {evidence.label(one.method)}"
        figures.append(figure(name, of.mean, low=of.low, high=of.high, unit="points of the full", n=of.n))
    for method in dict.fromkeys([SUBJECT, *(of.method for of in against)]):
        of_method = [of[method] for of in found.values() if method in of]
        for kind in ("effective", "strict") if of_method else ():
            name = f"{'effective rank' if kind == 'effective' else 'rank by numpy'}, {evidence.label(method)}"
            share = median(100 * getattr(of, kind) for of in of_method)
            figures.append(figure(name, share, unit="% of the full", n=len(of_method)))
    return figures


def _table(evidence: Evidence, found: Mapping[Pair, Mapping[str, Ranks]]) -> dict[str, Any]:
    rows = []
    for pair, methods in found.items():
        for method in (method for method in evidence.methods if method in methods):
            of, where = methods[method], run(pair, method)
            shares = [of.effective, of.numerical, of.strict, of.stable]
            cells = [cell(100 * share, text=per_cent(share), run=where) for share in shares]
            size = cell(of.size, text=significant(of.size), run=where)
            rows.append([pair_label(*pair), evidence.label(method), len(of.layers), *cells, size])
    columns = ["task", "method", "layers", "effective rank", "numerical rank", "by numpy's rule", "stable rank"]
    return table("Rank of the updates W' − W", [*columns, "‖W' − W‖ / ‖W‖"], rows, note=NOTE)
