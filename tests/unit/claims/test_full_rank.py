"""An update is of full rank where its singular values say so, and of low rank where they do."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up import evidence, figures, noisy, table

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


def judged(spectra, *, tasks=1):
    return full_rank(evidence(noisy({"full_ft": 90, "lora": 90, "frod": 90}, tasks=tasks), spectra=spectra))


def test_full_rank_in_all_layers_is_supported_and_the_others_stand_beside():
    found = judged({("task_0", "small", "frod"): spectrum([N] * 4), ("task_0", "small", "lora"): spectrum([8] * 4)})
    assert (found["verdict"], found["finding"]) == ("supported", "shown")
    shares = {row["method"]: row["numerical rank"] for row in table(found, "Rank of the updates W' − W")}
    assert (shares["FRoD"]["value"], shares["LoRA"]["value"]) == (100, 25)
    assert shares["LoRA"]["run"] == "task_0/small/lora"
    assert figures(found)["effective rank, LoRA"]["value"] == pytest.approx(25)
    assert [name.split(", ")[1] for name in figures(found)] == ["FRoD", "FRoD", "LoRA", "LoRA"]


def test_low_rank_on_one_task_is_contradicted_and_the_task_named():
    spectra = {("task_0", "small", "frod"): spectrum([N] * 4), ("task_1", "small", "frod"): spectrum([8] * 4)}
    found = judged(spectra, tasks=2)
    assert (found["verdict"], found["finding"]) == ("not_supported", "contradicted")
    assert "lowest on task_1 on small" in found["reason"]


def test_between_is_undecided():
    found = judged({("task_0", "small", "frod"): spectrum([N - 4] * 4)})
    assert (found["verdict"], found["finding"]) == ("not_supported", "undecided")


def test_one_layer_of_low_rank_is_not_hidden_by_the_median():
    found = judged({("task_0", "small", "frod"): spectrum([N] * 4 + [8])})
    assert (found["verdict"], found["finding"]) == ("not_supported", "undecided")
    assert "lowest of 5 layers (of all tasks together) has 25.0" in found["reason"]


def test_a_task_without_a_spectrum_is_named_and_leaves_it_open():
    found = judged({("task_0", "small", "frod"): spectrum([N] * 4)}, tasks=2)
    assert found["finding"] == "undecided" and "no spectrum of FRoD on task_1 on small" in found["reason"]


def test_size_and_ranks_by_closed_form():
    (row,) = table(judged({("task_0", "small", "frod"): spectrum([N])}), "Rank of the updates W' − W")
    assert row["‖W' − W‖ / ‖W‖"]["value"] == pytest.approx(0.5 * math.sqrt(N) / 10)
    assert [row[rank]["value"] for rank in ("effective rank", "stable rank")] == pytest.approx([100, 100])


def test_without_a_spectrum_of_frod_nothing_can_be_tested():
    empty = spectrum([N]).iloc[:0]
    for spectra in ({}, {("task_0", "small", "frod"): empty}, {("task_0", "small", "lora"): spectrum([8])}):
        assert judged(spectra)["verdict"] == "cannot_be_tested"
