"""How learning rates were chosen: the trials, what the best of n of them is expected to give, and what that took."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from frod.config.rates import at_edge
from frod.evaluation import formatting as show
from frod.evaluation.best_of import best_of
from frod.provenance.run_keys import word
from frod.reporting.cells import Cell, cell
from frod.reporting.naming import metric_label
from frod.reporting.report_data import Report
from frod.reporting.run_section import of_methods


def rates_chosen(report: Report) -> list[str]:
    """Sentences on how the learning rates came about."""
    said = []
    if report.tuning:
        numbers = sorted({len(chosen["trials"]) for chosen in report.tuning.values()})
        seeds = sorted({seed for chosen in report.tuning.values() for seed in chosen["seeds"]})
        said.append(
            f"By trials, {' or '.join(map(str, numbers))} a task, as many for every method, each a training on "
            f"{seeds_in_words(seeds)}, none of the runs’; the best on validation was taken, of equal ones that with "
            "the least loss there. All trials are below."
        )
    if len(report.tuning) < report.summary.groupby(["task", "backbone", "method"]).ngroups:
        said.append(report.suite.get("rates_chosen") or "Not stated in the suite file.")
    return said


def seeds_in_words(seeds: list[int]) -> str:
    """Seed 100, or seeds 100, 101."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {show.listed([str(seed) for seed in seeds])}"


def trials(report: Report) -> list[dict[str, Any]]:
    """A row for each tuned method of each task: its trials in the suite's order, the chosen one marked."""
    return [start | found for where, start in of_methods(report) if (found := trials_of(report, *where))]


def trials_of(report: Report, task: str, backbone: str, method: str) -> dict[str, Any] | None:
    """The trials of one method on one task; None where its rates were given."""
    chosen = report.tuning.get((task, backbone, method))
    if not chosen:
        return None
    taken = chosen["trials"][chosen["index"]]
    by_loss = (
        "the one with the least loss was" if taken.get("validation_loss") is not None else "the first one’s rates were"
    )
    return {
        "metric": metric_label(chosen["metric"]),
        "seeds": seeds_in_words(chosen["seeds"]),
        "taken": f"None has a figure: {by_loss} taken." if taken["validation"] is None else "The best was taken.",
        "trials": [
            {
                "rates": ", ".join(f"{name} {show.rate(rate)}" for name, rate in trial["rates"].items()),
                "value": word(trial["undefined"]) if trial["undefined"] else show.points(trial["validation"]),
                "chosen": index == chosen["index"],
            }
            for index, trial in enumerate(chosen["trials"])
        ],
    }


def search(report: Report) -> dict[str, Any]:
    """By method and task: what the best of n trials is expected to give, their seconds, and the rates at an edge."""
    most = max((len(chosen["trials"]) for chosen in report.tuning.values()), default=0)
    counts = [2**power for power in range(most.bit_length()) if 2**power <= most]
    found = [
        start | _search(report.tuning[where], counts) for where, start in of_methods(report) if where in report.tuning
    ]
    return {"counts": counts, "rows": found}


def best_of_n(report: Report) -> dict[str, list[tuple[float, float]]]:
    """By method: n, and the validation in points that the best of n trials is expected to have, as a mean over tasks.

    Over the tasks where every method that has trials has as many as the others, each with a figure; {} where there are
    none, or a single trial.
    """
    methods = [method for method in report.methods if any(of == method for *_, of in report.tuning)]
    tried = {where: [trial["validation"] for trial in chosen["trials"]] for where, chosen in report.tuning.items()}
    most = max(map(len, tried.values()), default=0)
    whole = [
        pair
        for pair in dict.fromkeys((task, backbone) for task, backbone, _ in tried)
        if all(len(figures) == most and None not in figures for figures in (tried.get((*pair, m), []) for m in methods))
    ]
    if not whole or most < 2:
        return {}
    return {
        method: [
            (float(n), 100 * fmean(best_of(tried[*pair, method], n).mean for pair in whole)) for n in range(1, most + 1)
        ]
        for method in methods
    }


def _search(chosen: Mapping[str, Any], counts: list[int]) -> dict[str, Any]:
    figures = [trial["validation"] for trial in chosen["trials"]]
    lost = figures.count(None)
    seconds = sum(trial.get("train_seconds", 0.0) for trial in chosen["trials"])
    edge = at_edge(chosen["box"], chosen["trials"][chosen["index"]]["rates"]) if chosen.get("box") else []
    return {
        "cells": [_expected(figures, n) if not lost and n <= len(figures) else cell(show.DASH) for n in counts]
        + [cell(show.seconds(seconds), seconds)],
        "edge": ", ".join(edge),
        "lost": f"{lost} of {len(figures)} without a figure" if lost else "",
    }


def _expected(figures: list[float], n: int) -> Cell:
    found = best_of(figures, n)
    band = f" ({show.points(found.low)} to {show.points(found.high)})" if found.low < found.high else ""
    return cell(f"{show.points(found.mean)}{band}", found.mean)
