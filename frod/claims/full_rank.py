"""Claim: FRoD's updates are of full rank, where LoRA's are of low rank. Read off the singular values of W' - W."""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import median
from typing import TYPE_CHECKING, Any

from frod.claims.claim import Verdict, cell, claim, contradicted, figure, supported, table, undecided, untestable
from frod.claims.evidence import Evidence, Pair, run
from frod.evaluation import spectra
from frod.evaluation.formatting import listed, number, per_cent, significant
from frod.provenance.run_keys import SUBJECT, pair_label

if TYPE_CHECKING:
    import pandas as pd

LEAST, LOW = 0.99, 0.5
SAYS = "FRoD's updates are flexible and of full rank, without the constraint of a low one."
TEST = (
    "Singular values of W' − W (m × n) of every adapted layer. One counts towards the rank if it is more than ε · ‖W‖, "
    "which is what rounding the weights to float32 can add or hide. Supported if on every task that FRoD ran on the "
    f"median over layers and seeds is at least {per_cent(LEAST, 0)} of min(m, n), and no layer's below "
    f"{per_cent(LOW, 0)}; contradicted if on some task the median is below {per_cent(LOW, 0)}. A run that diverged has "
    "no weights to take a spectrum of: it is named and left out, and a task without any other leaves it undecided."
)
NOTE = (
    "Shares of min(m, n), medians over layers and seeds. By numpy's stricter rule: above max(m, n) · ε · s₁ as well. "
    "Effective rank: exp of the entropy of the singular values as shares of their sum (Roy and Vetterli, 2007); stable "
    "rank: ‖W' − W‖² (Frobenius) over s₁². A full numerical rank says little by itself, as any noise has it; how "
    "evenly an update spreads over directions, the effective rank says."
)


@dataclass(frozen=True, kw_only=True)
class Ranks(spectra.Rank):
    """One method on one task: each figure's median over layers and seeds."""

    layers: dict[str, float]
    """Numerical rank as a share of min(m, n), by layer: median over seeds."""


def full_rank(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD's updates have full numerical rank."""
    found = {}
    for task, backbone, method in sorted(evidence.spectra):
        spectrum = evidence.spectra[task, backbone, method]  # read here: those of a large suite together take gigabytes
        if len(spectrum):
            found[(task, backbone), method] = _ranks(spectrum)
    return claim(
        "full_rank",
        title="Full-rank updates",
        says=SAYS,
        test=TEST,
        verdict=_verdict(evidence, {pair: ranks for (pair, method), ranks in found.items() if method == SUBJECT}),
        figures=_figures(evidence, found),
        tables=[_table(evidence, found)] if found else [],
    )


def _ranks(spectrum: pd.DataFrame) -> Ranks:
    each = [
        spectra.ranks(
            row["singular_values"], shape=(row["out_features"], row["in_features"]), weight_norm=row["weight_norm"]
        )
        for row in spectrum.to_dict("records")
    ]
    by_layer: dict[str, list[float]] = {}
    for layer, of in zip(spectrum["layer"], each):
        by_layer.setdefault(layer, []).append(of.numerical)
    layers = {layer: median(shares) for layer, shares in by_layer.items()}
    names = [field.name for field in fields(spectra.Rank)]
    return Ranks(layers=layers, **{name: median(getattr(of, name) for of in each) for name in names})


def _verdict(evidence: Evidence, found: dict[Pair, Ranks]) -> Verdict:
    if not found:
        diverged = any(key.method == SUBJECT and evidence.stopped(key) for key in evidence.undefined)
        none = "There is no spectrum of a layer that FRoD adapted"
        return undecided(f"{none}: its runs diverged.") if diverged else untestable(f"{none}.")
    lowest = min(found, key=lambda pair: found[pair].numerical)
    numerical, strict = found[lowest].numerical, min(of.strict for of in found.values())
    layers = [share for of in found.values() for share in of.layers.values()]
    said = (
        f"Numerical rank at least {per_cent(numerical, 1)} of the full over {number(len(found), 'task')} (median over "
        f"layers, lowest on {pair_label(*lowest)}), by numpy's stricter rule {per_cent(strict, 1)}; the lowest of "
        f"{number(len(layers), 'layer')} (of all tasks together) has {per_cent(min(layers), 1)}. Effective rank: "
        f"{per_cent(median(of.effective for of in found.values()), 1)} of the full (median over tasks)."
    )
    lost = [
        f"{pair_label(*key[:2])}, seed {key.seed}"
        for key in sorted(evidence.undefined)
        if key.method == SUBJECT and evidence.stopped(key)
    ]
    said += f" Without the runs that diverged: {listed(lost)}." if lost else ""
    if numerical < LOW:
        return contradicted(said)
    absent = [
        pair_label(*pair) for pair, methods in evidence.points.items() if SUBJECT in methods and pair not in found
    ]
    if absent:
        return undecided(f"{said} There is no spectrum of FRoD on {listed(absent)}.")
    return supported(said) if numerical >= LEAST and min(layers) >= LOW else undecided(f"{said} Neither full nor low.")


def _figures(evidence: Evidence, found: dict[tuple[Pair, str], Ranks]) -> list[dict[str, Any]]:
    figures = []
    # FRoD first, then LoRA and its kin.
    for method in sorted(evidence.methods, key=lambda m: (m != SUBJECT, m not in evidence.peft_baselines)):
        of = [ranks for (_, m), ranks in found.items() if m == method]
        for kind in ("numerical", "effective") if of else ():
            shares = [100 * getattr(ranks, kind) for ranks in of]
            figures.append(
                figure(f"{kind} rank, {evidence.label(method)}", median(shares), unit="% of the full", n=len(of))
            )
    return figures


def _table(evidence: Evidence, found: dict[tuple[Pair, str], Ranks]) -> dict[str, Any]:
    rows = []
    for pair in dict.fromkeys(pair for pair, _ in found):
        for method in (method for method in evidence.methods if (pair, method) in found):
            of = found[pair, method]
            shares = [of.numerical, min(of.layers.values()), of.strict, of.effective, of.stable]
            where = run(pair, method)
            cells = [cell(100 * share, text=per_cent(share), run=where) for share in shares]
            size = cell(of.size, text=significant(of.size), run=where)
            rows.append([pair_label(*pair), evidence.label(method), len(of.layers), *cells, size])
    columns = ["task", "method", "layers", "numerical rank", "lowest layer's", "by numpy's rule", "effective rank"]
    columns += ["stable rank", "‖W' − W‖ / ‖W‖"]
    return table("Rank of the updates W' − W", columns, rows, note=NOTE)
