"""An update is of full rank where its singular values say so, and of low rank where they do."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up import LOST, OPEN, SHOWN, UNTESTED, evidence, figures, noisy, said, table

from frod.claims.full_rank import full_rank

N = 32


def spectrum(ranks, *, seeds=2):
    """A layer for each rank: so many equal singular values, and as many noughts as are left."""
    rows = [
        {"seed": seed, "layer": f"layer.{i}", "category": "q", "out_features": N, "in_features": 2 * N}
        | {"singular_values": np.array([0.5] * rank + [0.0] * (N - rank)), "weight_norm": 10.0}
        for seed in range(seeds)
        for i, rank in enumerate(ranks)
    ]
    return pd.DataFrame(rows)


def judged(frod, *, lora=None, tasks=1):
    """By the ranks of FRoD's layers on each task, and of LoRA's on the first."""
    spectra = {(f"task_{t}", "small", "frod"): ranks for t, ranks in enumerate(frod)}
    spectra |= {("task_0", "small", "lora"): lora} if lora is not None else {}
    return full_rank(evidence(noisy({"full_ft": 90, "lora": 90, "frod": 90}, tasks=tasks), spectra=spectra))


def test_full_rank_in_all_layers_is_supported_and_the_others_stand_beside():
    found = judged([spectrum([N] * 4)], lora=spectrum([8] * 4))
    assert said(found) == SHOWN
    shares = {row["method"]: row["numerical rank"] for row in table(found, "Rank of the updates W' − W")}
    assert (shares["FRoD"]["value"], shares["LoRA"]["value"]) == (100, 25)
    assert shares["LoRA"]["run"] == "task_0/small/lora"
    assert figures(found)["effective rank, LoRA"]["value"] == pytest.approx(25)
    assert [name.split(", ")[1] for name in figures(found)] == ["FRoD", "FRoD", "LoRA", "LoRA"]


CASES = {
    "low rank on one task": ([[N] * 4, [8] * 4], LOST, "lowest on task_1 on small"),
    "between": ([[N - 4] * 4], OPEN, ""),
    "one layer that the median hides": ([[N] * 4 + [8]], OPEN, "lowest of 5 layers (of all tasks together) has 25.0"),
}


@pytest.mark.parametrize(("ranks", "expected", "words"), CASES.values(), ids=CASES)
def test_a_low_rank_is_not_hidden(ranks, expected, words):
    found = judged([spectrum(of) for of in ranks], tasks=len(ranks))
    assert said(found) == expected and words in found["reason"]


def test_a_task_without_a_spectrum_is_named_and_leaves_it_open():
    found = judged([spectrum([N] * 4)], tasks=2)
    assert found["finding"] == "undecided" and "no spectrum of FRoD on task_1 on small" in found["reason"]


def test_size_and_ranks_by_closed_form():
    (row,) = table(judged([spectrum([N])]), "Rank of the updates W' − W")
    assert row["‖W' − W‖ / ‖W‖"]["value"] == pytest.approx(0.5 * math.sqrt(N) / 10)
    assert [row[rank]["value"] for rank in ("effective rank", "stable rank")] == pytest.approx([100, 100])


@pytest.mark.parametrize(
    ("frod", "lora"),
    [([], None), ([spectrum([N]).iloc[:0]], None), ([], spectrum([8]))],
    ids=["none at all", "one without rows", "one of LoRA"],
)
def test_without_a_spectrum_of_frod_nothing_can_be_tested(frod, lora):
    assert said(judged(frod, lora=lora)) == UNTESTED
