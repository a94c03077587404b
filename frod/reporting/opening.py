"""The page's opening: what was compared and what came out, in sentences that state figures and no verdict."""

from __future__ import annotations

from collections.abc import Sequence

from frod.evaluation import formatting as show
from frod.evaluation.formatting import listed, number
from frod.provenance.run_keys import REFERENCE, SUBJECT, pair_label, words
from frod.reporting.comparison import Headline, ParameterCount
from frod.reporting.cost_section import share
from frod.reporting.naming import metric_label
from frod.reporting.report_data import Report


def sentences(report: Report, counts: Sequence[ParameterCount]) -> list[str]:
    """Sentences about the runs, the difference to full fine-tuning, and the parameters that are trained."""
    said = [_what_ran(report)]
    if report.headline is None:
        said.append(
            "No task has a defined figure of both FRoD and full fine-tuning on a shared seed, so there is no "
            "difference to report."
        )
    else:
        said += _differences(report, report.headline)
    if text := share(counts):
        subject = report.label(SUBJECT)
        said.append(f"{subject} trains {text} of the base parameters, its adapter alone, without the head.")
    return said


NAMED = 12
"""Runs without a figure, of which more are only counted: a suite may fail as a whole."""


def undefined(report: Report) -> list[str]:
    """Which runs have no figure, in a sentence, and what is without them in another; none where all have one."""
    if not report.undefined:
        return []
    named = [f"{key.path} ({why})" for key, why in list(report.undefined.items())[:NAMED]]
    more = len(report.undefined) - len(named)
    return [f"{how_many(report)}: {'; '.join(named)}{f'; and {more} more' if more else ''}", WITHOUT]


def how_many(report: Report) -> str:
    """1 of 32 runs has no figure: 1 diverged."""
    lost = report.undefined
    has = "has" if len(lost) == 1 else "have"
    return f"{len(lost)} of {number(len(report.summary), 'run')} {has} no figure: {words(lost.values())}"


WITHOUT = (
    "Means and differences are those of the other runs, and say so; a claim counts a run without a figure against its "
    "method."
)


def _what_ran(report: Report) -> str:
    tasks, methods = len(report.comparisons), [report.label(method) for method in report.methods]
    seeds = report.summary.groupby(["task", "backbone", "method"])["seed"].nunique()
    per = str(seeds.min()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    return (
        f"{number(len(report.summary), 'run')}: {number(tasks, 'task')}, {number(len(methods), 'method')} "
        f"({', '.join(methods)}), {per} seed{'' if per == '1' else 's'} each."
        + (f" {how_many(report)}." if report.undefined else "")
    )


def _differences(report: Report, top: Headline) -> list[str]:
    means = top.over_tasks.each
    seeds = f"{top.seeds[0]}" if top.seeds[0] == top.seeds[1] else f"{top.seeds[0]} to {top.seeds[1]}"
    said = (
        f"{report.label(SUBJECT)} − {report.label(REFERENCE)} on test: "
        f"mean difference {show.gain(top.over_tasks.mean)} points over {number(len(means), 'task')}"
    )
    if len(means) > 1:
        said += f" (by task from {show.gain(min(means))} to {show.gain(max(means))}"
        if top.over_tasks.has_interval:
            said += f"; 95\u00a0% interval over tasks {show.gains(top.over_tasks.low, top.over_tasks.high)}"
        said += ")"
    said += f", from {seeds} paired seed{'' if seeds == '1' else 's'} per task"
    lost = {m: [why for key, why in report.undefined.items() if key.method == m] for m in (SUBJECT, REFERENCE)}
    told = [f"{number(len(of), 'run')} of {report.label(method)} ({words(of)})" for method, of in lost.items() if of]
    said += f", without {' and '.join(told)}." if told else "."
    if left_out := [pair_label(*pair) for pair in report.uninformative if pair in top.by_task]:
        none = f" On none of them is {report.label(REFERENCE)} above chance."
        some = f" Not in the mean, as {report.label(REFERENCE)} is not above chance there: {listed(left_out)}."
        said += none if len(left_out) == len(top.by_task) else some
    metrics = list(dict.fromkeys(metric_label(comparison.primary) for comparison in report.comparisons))
    if len(metrics) > 1:
        said += f" The mean is over tasks with different metrics: {', '.join(metrics)}."
    if not top.with_interval:
        why = "With one seed" if top.seeds[1] == 1 else "Where the seeds’ differences are all the same"
        return [said, f"{why} there is no interval over seeds: how much of the difference is chance is unknown."]
    return [
        said,
        f"The paired 95\u00a0% interval over seeds contains zero on {top.containing_zero} of {top.with_interval} "
        "tasks that have one. An interval that contains zero does not show that the methods are equal: "
        "with few seeds it is wide.",
    ]
