"""Claim: FRoD matches full fine-tuning. A test of non-inferiority: that no difference was found shows nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from frod.claims.claim import (
    Verdict,
    cell,
    claim,
    contradicted,
    difference,
    figure,
    supported,
    table,
    undecided,
    untestable,
)
from frod.claims.evidence import ONE_SIDED, TWO_SIDED, Evidence, Pair, run
from frod.claims.pairing import Paired, paired, runs
from frod.evaluation import inference
from frod.evaluation.formatting import fixed, interval, listed, number, p_value, signed
from frod.evaluation.inference import Overall, holm, non_inferiority_p
from frod.evaluation.statistics import over_seeds
from frod.provenance.run_keys import REFERENCE, SUBJECT, RunKey, pair_label, words

SAYS = "On 20 benchmarks over vision, reasoning and language understanding, FRoD matches full fine-tuning in accuracy."
TEST = (
    "Difference on test, paired by seed. Matched if the mean over tasks is shown to lie less than {margin} below full "
    "fine-tuning: the 95\u00a0% t interval over tasks lies above −{margin}; contradicted if it lies below. That is "
    "about tasks like these, at rates chosen like these. Beside it stand these tasks alone (only the seeds are left to "
    "chance) and families (tasks that share data or a backbone count as one). With one task its interval over seeds "
    "and test examples decides, about that task at these rates. A run that diverged has no figure. Where a run of FRoD "
    "has none, the verdict is never a match; where one of full fine-tuning has none and FRoD's of the same seed has, "
    "it is never a loss."
)
TASKS_NOTE = (
    "Mean ± standard deviation over seeds, in points: 100 times the metric that stands with the task. A point of a "
    "correlation is not a point of accuracy; the margin is the same for both. Difference: paired by seed, with its "
    "95\u00a0% interval, of that task by itself at these rates, where both seeds and test examples are left to chance. "
    "The p values are corrected over the tasks after Holm, the intervals are not, so that an interval may leave out "
    "what its p value does not rule out. Non-inferior: corrected one-sided p below 0.025. The interval over tasks, on "
    "which the verdict rests, is exact where the tasks' means are normal, and too hopeful where a few tasks lose far "
    "more than the rest."
)
OTHERS_NOTE = (
    "For context; no verdict rests on it. Mean over tasks with the t interval over tasks (with one task, its own); "
    "p of a difference, two-sided, corrected over these methods after Holm (the intervals are not). Tasks "
    "non-inferior: by a one-sided test of each task at 0.025, corrected over the method's tasks after Holm."
)


def decide(found: Overall, margin: float) -> str | None:
    """What the differences show: "supported", "contradicted" or "undecided"; None where there is nothing to test.

    Parameters
    ----------
    found : Overall
        Differences to the reference, in the unit of `margin`.
    """
    if found.deciding.n < 2:
        return None
    if found.above(-margin):
        return "supported"
    return "contradicted" if found.below(-margin) else "undecided"


def matches_full_ft(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD lies less than the margin below full fine-tuning."""
    found = paired(evidence.points, SUBJECT, REFERENCE, on_test=evidence.on_test)
    by_task = _by_task(evidence, found)
    margin = _points(evidence.margin)
    return claim(
        "matches_full_ft",
        title="Matches full fine-tuning",
        says=SAYS,
        test=TEST.format(margin=margin),
        verdict=_verdict(evidence, found, by_task),
        figures=[] if found.overall is None else _figures(evidence, found.overall, by_task),
        tables=([] if found.overall is None else [_task_table(evidence, found.overall, by_task)]) + _others(evidence),
    )


@dataclass(frozen=True, kw_only=True)
class Tested:
    """P values of one task, each corrected over the tasks."""

    match: float
    """Of the test that shows it to lie above the margin."""
    loss: float
    """Of the test that shows it to lie below."""
    differ: float


def _by_task(evidence: Evidence, found: Paired) -> dict[Pair, Tested]:
    each = list(found.overall.by_group.values()) if found.overall else []
    match = [non_inferiority_p(of, evidence.margin) for of in each]
    loss, differ = [1 - p for p in match], [inference.p_value(of) for of in each]
    corrected = zip(holm(match), holm(loss), holm(differ))
    return {pair: Tested(match=p[0], loss=p[1], differ=p[2]) for pair, p in zip(found.groups, corrected)}


def _verdict(evidence: Evidence, found: Paired, by_task: dict[Pair, Tested]) -> Verdict:
    absent = [evidence.label(m) for m in (SUBJECT, REFERENCE) if m not in evidence.methods]
    if absent:
        return untestable(f"No run of {' or '.join(absent)}.")
    return _judged(evidence, found, by_task)


def _judged(evidence: Evidence, found: Paired, by_task: dict[Pair, Tested]) -> Verdict:
    margin, left_out = evidence.margin, _left_out(evidence, found)
    failed = [why for pair, seed in found.lost if (why := evidence.undefined.get(RunKey(*pair, SUBJECT, seed)))]
    lacking = undecided if failed else untestable  # a run without a figure was tested, and is no match
    if found.overall is None:
        return lacking(f"No task has a run of both on a shared seed with a defined metric.{left_out}")
    decided, what = decide(found.overall, margin), _what(evidence, found.overall, by_task)
    if decided is None:
        return lacking(f"{what}: one task with one seed leaves nothing to judge chance by.{left_out}")
    # What was left out must not help: without failed runs of FRoD nothing is a match, without the other's none a loss.
    if (decided == "supported" and found.lost) or (decided == "contradicted" and found.dropped):
        why = "runs that gave no figure are missing, and may speak against it"
        if decided == "supported" and failed:
            why = f"FRoD has no figure in {number(len(failed), 'run')} ({words(failed)}), which is no match"
        return undecided(f"{what}; but {why}.{left_out}")
    if decided == "supported":
        return supported(f"{what}: above −{_points(margin)}.{left_out}")
    if decided == "contradicted":
        return contradicted(f"{what}: below −{_points(margin)}.{left_out}")
    return undecided(f"{what}. {_why_undecided(found.overall, margin)}{left_out}")


def _what(evidence: Evidence, found: Overall, by_task: dict[Pair, Tested]) -> str:
    deciding, many = found.deciding, len(by_task) > 1
    said = f"FRoD − full fine-tuning: {signed(deciding.mean)} points"
    said += f" over {number(deciding.n, 'task')}" if many else f" on {pair_label(*next(iter(by_task)))}"
    if deciding.has_interval:
        rates = evidence.at_these_rates({SUBJECT, REFERENCE})
        over = "for tasks like these" if many else f"over {number(deciding.n, 'seed')} and the test examples"
        said += f", 95\u00a0% interval {over}, {rates}, {interval(deciding.low, deciding.high)}"
    if many:
        fixed, families = found.fixed, found.over_families(evidence.families)
        beside = [f"for these tasks alone {interval(fixed.low, fixed.high)}"] if fixed.has_interval else []
        if families.n == 1:
            beside.append("all are of one family")
        elif families.n < deciding.n and families.has_interval:
            beside.append(f"over {families.n} families {interval(families.low, families.high)}")
        said += f" ({', '.join(beside)})" if beside else ""
        match = sum(p.match < ONE_SIDED for p in by_task.values())
        losses = [pair_label(*pair) for pair, p in by_task.items() if p.loss < ONE_SIDED]
        said += f"; each by itself, after Holm: non-inferior on {match} of {number(len(by_task), 'task')}"
        said += f", shown to lose more than the margin on {listed(losses)}" if losses else ""
    return said


def _why_undecided(found: Overall, margin: float) -> str:
    deciding = found.deciding
    if not deciding.has_interval:
        return f"All {deciding.n} differences are the same, so that there is no interval."
    width = deciding.high - deciding.low
    return (
        f"The interval is {fixed(width, 1)} points wide and holds −{margin:g}: with a margin of "
        f"{_points(margin)}, neither a match nor a loss is shown."
    )


def _left_out(evidence: Evidence, found: Paired) -> str:
    each = (("FRoD", SUBJECT, found.lost), ("full fine-tuning", REFERENCE, found.dropped))
    return "".join(
        f" Left out, as {label} has no run or no defined metric there: {listed(runs(of, evidence, method))}."
        for label, method, of in each
        if of
    )


def _figures(evidence: Evidence, found: Overall, by_task: dict[Pair, Tested]) -> list[dict[str, Any]]:
    means = {"difference": found.deciding}
    if len(by_task) > 1:
        means["difference, these tasks alone"] = found.fixed
        means["difference, by family"] = found.over_families(evidence.families)
    figures = [figure(what, of.mean, low=of.low, high=of.high, unit="points", n=of.n) for what, of in means.items()]
    tests = list(by_task.values())
    counts = {
        "tasks non-inferior": sum(p.match < ONE_SIDED for p in tests),
        "tasks that lose more than the margin": sum(p.loss < ONE_SIDED for p in tests),
        "tasks different": sum(p.differ < TWO_SIDED for p in tests),
    }
    return [*figures, *(figure(what, count, unit="tasks", n=len(tests)) for what, count in counts.items())]


def _task_table(evidence: Evidence, found: Overall, by_task: dict[Pair, Tested]) -> dict[str, Any]:
    rows = []
    for pair, p in by_task.items():
        of = found.by_group[pair_label(*pair)]
        rows.append(
            [
                f"{pair_label(*pair)}, {evidence.metrics[pair]}",
                _level(evidence, pair, REFERENCE),
                _level(evidence, pair, SUBJECT),
                difference(of, run=run(pair, SUBJECT)),
                of.n,
                cell(p.match, text=p_value(p.match)),
                cell(p.differ, text=p_value(p.differ)),
                None if math.isnan(p.match) else "yes" if p.match < ONE_SIDED else "no",
            ]
        )
    columns = ["task", evidence.label(REFERENCE), evidence.label(SUBJECT), "difference", "seeds"]
    columns += ["p non-inferior (Holm)", "p different (Holm)", "non-inferior"]
    return table("FRoD and full fine-tuning by task", columns, rows, note=TASKS_NOTE)


def _level(evidence: Evidence, pair: Pair, method: str) -> dict[str, Any]:
    """Mean and spread over all seeds of a method whose metric is defined."""
    seeds = evidence.points[pair][method]
    of = over_seeds([value for value in seeds.values() if not math.isnan(value)])
    text = fixed(of.mean, 1) + (f" ± {fixed(of.spread, 1)}" if of.n > 1 else "")
    lost = evidence.undefined_of(pair, method)
    text += f" ({words(lost)} of {len(seeds)})" if lost else ""
    return cell(of.mean, text=text, run=run(pair, method))


def _others(evidence: Evidence) -> list[dict[str, Any]]:
    if REFERENCE not in evidence.methods:
        return []
    rows = []
    compared = [method for method in evidence.methods if method != REFERENCE]
    found = {method: paired(evidence.points, method, REFERENCE, on_test=evidence.on_test) for method in compared}
    tested = {method: pairs.overall for method, pairs in found.items() if pairs.overall is not None}
    for (method, over), p in zip(tested.items(), holm([inference.p_value(over.deciding) for over in tested.values()])):
        below = holm([non_inferiority_p(group, evidence.margin) for group in over.by_group.values()])
        rows.append(
            [
                evidence.label(method),
                difference(over.deciding),
                len(over.groups),
                cell(p, text=p_value(p)),
                sum(q < ONE_SIDED for q in below),
                len(found[method].lost) + len(found[method].dropped) or None,
            ]
        )
    columns = ["method", "difference to full fine-tuning", "tasks", "p different (Holm)", "tasks non-inferior"]
    columns += ["pairs left out: no figure"]
    return [table("All methods and full fine-tuning", columns, rows, note=OTHERS_NOTE)] if rows else []


def _points(margin: float) -> str:
    return f"{margin:g} point{'' if margin == 1 else 's'}"
