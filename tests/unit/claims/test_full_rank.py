"""The effective rank of an update is set against that of peft's methods; a full numerical rank decides nothing."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up import LOST, OPEN, SHOWN, UNTESTED, evidence, figures, noisy, said, table
from scipy import stats

from frod.claims.full_rank import full_rank

N = 32
AGAINST = "Effective rank, FRoD and each other method"


def spectrum(ranks, *, seeds=2, rest=0.0):
    """A layer for each rank: so many equal singular values, and the others are `rest`; a high one falls by the seed."""
    rows = [
        {"seed": seed, "layer": f"layer.{i}", "category": "q", "out_features": N, "in_features": 2 * N}
        | {"singular_values": np.array([0.5] * k + [rest] * (N - k)), "weight_norm": 10.0}
        for seed in range(seeds)
        for i, k in enumerate(rank - seed * (rank > N / 2) for rank in ranks)
    ]
    return pd.DataFrame(rows)


def judged(frod, lora=None, *, methods=("full_ft", "lora", "frod"), tasks=None):
    """By the ranks of FRoD's layers, and of LoRA's, on each task."""
    spectra = {(f"task_{t}", "small", "frod"): ranks for t, ranks in enumerate(frod)}
    spectra |= {(f"task_{t}", "small", "lora"): ranks for t, ranks in enumerate(lora or [])}
    points = noisy(dict.fromkeys(methods, 90.0), tasks=tasks or len(frod) or 1, seeds=2)
    return full_rank(evidence(points, spectra=spectra))


HIGH, LOW = [[N] * 4, [N - 2] * 4, [N] * 4], [[8] * 4, [9] * 4, [7] * 4]
CASES = {
    "higher": (HIGH, LOW, SHOWN, "FRoD against each, for tasks like these, at these rates"),
    "lower": (LOW, HIGH, LOST, "p worse"),
    "alike": (
        HIGH,
        [[N - 1] * 4, [N] * 4, [N - 1] * 4],
        OPEN,
        "Neither higher than all of them nor lower than one is shown",
    ),
    "one task that falls back": ([[N] * 4, [8] * 4, [N] * 4], [[8] * 4, [N] * 4, [8] * 4], OPEN, ""),
    "one task": (HIGH[:1], LOW[:1], SHOWN, "for this task, at these rates"),
}


@pytest.mark.parametrize(("frod", "lora", "expected", "words"), CASES.values(), ids=CASES)
def test_the_verdict_and_its_reason(frod, lora, expected, words):
    found = judged(*([spectrum(of) for of in ranks] for ranks in (frod, lora)))
    assert said(found) == expected and words in found["reason"]


def test_noise_that_makes_the_numerical_rank_full_does_not_make_it_higher():
    """Both have all their singular values; LoRA's are more even."""
    found = judged([spectrum(of, rest=0.001) for of in LOW], [spectrum(of) for of in HIGH])
    assert said(found) == LOST and "by numpy's rule: 100.0" in found["reason"]
    rows = table(found, "Rank of the updates W' − W")
    assert {row["numerical rank"]["value"] for row in rows if row["method"] == "FRoD"} == {100.0}


def test_ranks_are_paired_by_layer_and_the_interval_is_scipys():
    """LoRA lacks a layer, and another counts for more of them: only those that both have are compared."""
    frod = [spectrum(of) for of in ([N, 8], [N, 10], [N, 9])]
    lora = [spectrum(of) for of in ([8], [9], [7])]
    found = judged(frod, lora)
    # Layer 0 alone, where FRoD's has N and N - 1.
    expected = stats.ttest_1samp([100 * (N - 0.5 - rank) / N for rank in (8, 9, 7)], 0).confidence_interval(0.95)
    of = figures(found)["effective rank less that of LoRA"]
    assert (of["low"], of["high"], of["n"]) == pytest.approx((expected.low, expected.high, 3))
    assert figures(found)["effective rank, LoRA"]["value"] == pytest.approx(100 * 8 / N)
    assert table(found, AGAINST)[0]["pairs"] == 6
    rows = table(found, "Rank of the updates W' − W")
    assert [row["layers"] for row in rows] == [2, 1] * 3 and rows[1]["numerical rank"]["run"] == "task_0/small/lora"


@pytest.mark.parametrize("gone", ["frod", "lora"])
def test_a_task_without_a_spectrum_of_frod_is_named_and_leaves_it_open(gone):
    frod, lora = ([spectrum(of) for of in ranks] for ranks in (HIGH, LOW))
    found = judged(frod[:2] if gone == "frod" else frod, lora[:2] if gone == "lora" else lora, tasks=3)
    assert said(found) == (OPEN if gone == "frod" else SHOWN)
    assert ("Without a spectrum of FRoD on task_2 on small" in found["reason"]) == (gone == "frod")
    assert table(found, AGAINST)[0]["left out: no figure"] == "task_2 on small"


def test_size_and_ranks_by_closed_form():
    (row,) = table(judged([spectrum([N], seeds=1)]), "Rank of the updates W' − W")
    assert row["‖W' − W‖ / ‖W‖"]["value"] == pytest.approx(0.5 * math.sqrt(N) / 10)
    assert [row[rank]["value"] for rank in ("effective rank", "stable rank")] == pytest.approx([100, 100])


@pytest.mark.parametrize(
    ("frod", "lora"),
    [([], []), ([spectrum([N]).iloc[:0]], []), ([], [spectrum([8])]), ([spectrum([N])], [])],
    ids=["none at all", "one without rows", "one of LoRA", "one of FRoD"],
)
def test_without_spectra_of_both_nothing_can_be_tested(frod, lora):
    assert said(judged(frod, lora)) == UNTESTED


@pytest.mark.parametrize("methods", [("full_ft", "frod"), ("full_ft", "lora")], ids=["no baseline", "no FRoD"])
def test_without_a_method_nothing_can_be_tested(methods):
    claim = judged([spectrum([N])], [spectrum([8])], methods=methods)
    assert said(claim) == UNTESTED and claim["reason"].startswith("No run of")
