"""A run that diverged has no figure: no claim is supported by leaving out FRoD's, and each names what is left out.

Verdicts are held against those of the same suite without the divergence; p values against scipy's binomial test.
"""

from dataclasses import replace

import pytest
from made_up import (
    LOST,
    OPEN,
    SHOWN,
    UNTESTED,
    diverged,
    evidence,
    falling,
    figures,
    history,
    noisy,
    rates,
    said,
    table,
)
from scipy import stats

from frod.claims.converges_faster import converges_faster
from frod.claims.failures import Failures
from frod.claims.full_rank import full_rank
from frod.claims.matches_full_ft import matches_full_ft
from frod.claims.more_robust import more_robust
from frod.evaluation.inference import sign_p

ALIKE = {"full_ft": 90.0, "frod": 90.0, "lora": 89.0}
ONE = ("task_1", "frod", 2)


def suite(means=ALIKE, *, lora=20.0, **more):
    """FRoD's losses fall twice as fast as LoRA's, those of each task a little differently."""
    found = evidence(noisy(means), **more)
    paces = {"frod": 10.0, "lora": lora, "full_ft": 15.0}
    losses = {key: falling(paces[key.method] * (1 + 0.01 * len(key.task) * key.seed)) for key in found.histories}
    losses = {key: of * (1 + 0.02 * int(key.task[-1])) for key, of in losses.items()}
    return replace(found, histories={key: history(of) for key, of in losses.items()})


def all_of(method):
    return [(f"task_{t}", method, seed) for t in range(8) for seed in range(3)]


def test_a_match_is_not_supported_where_a_run_of_frod_diverged_and_full_fine_tuning_did_not():
    assert said(matches_full_ft(suite())) == SHOWN
    claim = matches_full_ft(diverged(suite(), ONE))
    assert said(claim) == OPEN
    assert "FRoD has no figure in 1 run (1 diverged), which is no match" in claim["reason"]
    assert "task_1 on small, seed 2 (diverged)" in claim["reason"]
    row = table(claim, "FRoD and full fine-tuning by task")[1]
    assert row["FRoD"]["text"].endswith("(1 diverged of 3)") and row["seeds"] == 2
    others = table(claim, "All methods and full fine-tuning")
    assert {row["method"]: row["pairs left out: no figure"] for row in others} == {"FRoD": 1, "LoRA": None}


def test_a_divergence_of_full_fine_tuning_does_not_stand_in_the_way_of_a_match_but_of_a_loss():
    reference = ("task_1", "full_ft", 0)
    claim = matches_full_ft(diverged(suite(), reference))
    assert said(claim) == SHOWN
    left_out = "Left out, as full fine-tuning has no run or no defined metric there: task_1 on small, seed 0 (diverged)"
    assert left_out in claim["reason"]
    worse = suite({"full_ft": 90.0, "frod": 80.0})
    assert said(matches_full_ft(worse)) == LOST
    assert said(matches_full_ft(diverged(worse, reference))) == OPEN
    assert said(matches_full_ft(diverged(worse, ONE))) == LOST


@pytest.mark.parametrize("judge", [matches_full_ft, converges_faster, more_robust, full_rank])
def test_frod_diverged_everywhere_is_no_lack_of_a_test(judge):
    claim = judge(diverged(suite(), *all_of("frod")))
    assert claim["verdict"] == "not_supported" and "diverge" in claim["reason"]


def test_one_pair_that_is_left_is_no_lack_of_a_test():
    alone = evidence({"a": {"full_ft": [90.0, 91.0], "frod": [90.0, 91.0], "lora": [90.0, 91.0]}})
    one = matches_full_ft(diverged(alone, ("a", "frod", 1)))
    assert one["finding"] == "undecided" and "nothing to judge chance by" in one["reason"]


def test_full_fine_tuning_diverged_everywhere_leaves_nothing_to_test():
    claim = matches_full_ft(diverged(suite(), *all_of("full_ft")))
    assert said(claim) == UNTESTED and "(diverged)" in claim["reason"]


def test_a_run_that_diverged_is_not_fast_however_fast_it_fell_before():
    assert said(converges_faster(suite())) == SHOWN
    claim = converges_faster(diverged(suite(), ONE, steps=90))
    assert said(claim) == OPEN
    assert "no run of FRoD, or no finite loss, on task_1 on small, seed 2 (diverged)" in claim["reason"]
    steps = table(claim, "Steps to levels of the training loss")
    row = next(row for row in steps if row["task"] == "task_1 on small" and row["method"] == "FRoD")
    assert row["to 0.75"]["text"].endswith("(2 of 3 did)")
    areas = table(claim, "Area under the training loss")[1]
    assert areas["FRoD"]["text"].endswith("(1 diverged)")


def test_other_methods_that_diverged_do_not_make_frod_the_faster_nor_the_slower():
    slow = suite(lora=5.0)
    assert said(converges_faster(slow)) == LOST
    assert said(converges_faster(diverged(slow, ("task_1", "lora", 0)))) == OPEN
    assert converges_faster(diverged(suite(), *all_of("lora")))["verdict"] != "supported"


def trials(methods, *, tasks=8, lost=()):
    gone = {"validation": None, "undefined": "diverged: step 3: loss nan"}
    found = {
        (f"task_{t}", "small", m): rates([0.8 - wide / 100, 0.8]) for t in range(tasks) for m, wide in methods.items()
    }
    for task, method in lost:
        found[task, "small", method]["trials"][0] |= gone
    return found


def robust(runs=(), *, tried=()):
    """FRoD varies twenty times less over seeds and rates; some runs and some first trials diverged."""
    points = noisy({"frod": 90.0, "lora": 90.0}, seeds=5)
    for of in points.values():
        of["frod"] = [90 + (value - 90) / 20 for value in of["frod"]]
    tuning = trials({"frod": 0.5, "lora": 9.0}, lost=tried)
    for index, of in enumerate(tuning.values()):
        of["trials"][0]["validation"] = (
            of["trials"][0]["validation"] and of["trials"][0]["validation"] - 1e-5 * index**2
        )
    return diverged(evidence(points, tuning=tuning), *runs)


def test_a_divergence_counts_against_the_method_that_is_more_robust_else():
    assert said(more_robust(robust())) == SHOWN
    claim = more_robust(robust([ONE]))
    assert said(claim) == OPEN
    assert "FRoD has no figure on task_1 on small" in claim["reason"]
    assert "Without a figure, runs and trials together: FRoD 1 of 56 trainings (1 diverged)" in claim["reason"]
    assert said(more_robust(robust([("task_1", "lora", 2)]))) == SHOWN
    counted = figures(more_robust(robust([ONE])))
    assert (counted["without a figure, FRoD"]["value"], counted["without a figure, FRoD"]["n"]) == (1, 56)
    assert counted["without a figure, LoRA"]["value"] == 0
    assert not [name for name in figures(more_robust(robust())) if name.startswith("without")]


@pytest.mark.parametrize(("tasks", "finding"), [(5, "undecided"), (6, "contradicted")])
def test_runs_that_diverge_on_more_tasks_are_less_robust(tasks, finding):
    """0.5 to the fifth is above 0.025, to the sixth below."""
    claim = more_robust(robust([(f"task_{t}", "frod", 0) for t in range(tasks)]))
    assert claim["finding"] == finding
    assert table(claim, "Trainings without a figure")[-1]["LoRA"].startswith(f"{tasks} / 0, p ")
    # Trials may try a rate that no one would take: they are counted, and do not contradict.
    tried = more_robust(robust(tried=[(f"task_{t}", "frod") for t in range(tasks)]))
    assert tried["finding"] == "undecided" and f"FRoD {tasks} of 56 trainings" in tried["reason"]


def test_counts_are_of_runs_and_trials_by_task():
    found = Failures(robust([ONE, ("task_1", "lora", 0), ("task_1", "lora", 1)], tried=[("task_2", "lora")]))
    (first, second, _) = found.table(found.signs(["lora"]))["rows"]
    assert first[1]["text"] == "1 of 5 runs (1 diverged)" and first[2]["text"] == "2 of 5 runs (2 diverged)"
    assert second[1] is None and second[2]["text"] == "1 of 2 trials (1 diverged)"
    assert (found.signs(["lora"])["lora"].more, found.signs(["lora"])["lora"].less) == (0, 1)


@pytest.mark.parametrize(("more", "less"), [(0, 0), (0, 3), (3, 0), (6, 0), (7, 2), (12, 11)])
def test_the_sign_test_is_scipys(more, less):
    expected = stats.binomtest(more, more + less, 0.5, alternative="greater").pvalue if more + less else 1.0
    assert sign_p(more, less) == pytest.approx(expected)


def test_a_rank_is_not_found_higher_without_the_run_that_diverged_and_it_is_named():
    import pandas as pd

    layer = {"layer": "a", "out_features": 3, "in_features": 3, "singular_values": [3.0, 2.0, 1.0], "weight_norm": 9.0}
    low = layer | {"singular_values": [3.0, 0.0, 0.0]}
    rows = {"frod": [layer | {"seed": 0}, layer | {"seed": 1, "singular_values": [3.0, 2.5, 1.0]}], "lora": [low] * 2}
    spectra = {
        ("task_0", "small", method): pd.DataFrame([row | {"seed": seed} for seed, row in enumerate(of)])
        for method, of in rows.items()
    }
    found = evidence({"task_0": {"frod": [90.0] * 3, "lora": [90.0] * 3}}, spectra=spectra)
    claim = full_rank(diverged(found, ("task_0", "frod", 2)))
    assert said(claim) == OPEN
    assert "Without the runs of FRoD that diverged: task_0 on small, seed 2." in claim["reason"]
    whole = evidence({"task_0": {"frod": [90.0] * 2, "lora": [90.0] * 2}}, spectra=spectra)
    assert said(full_rank(whole)) == SHOWN
