"""A choice by likelihood beside the same by classification goes to its report, is audited, and replayed to the bit."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alterations import audited, kept
from projects import checkout

REPORT, RESULTS = Path("reports/tiny"), Path("results/tiny/sums_likelihood/micro_llama")
RUN = RESULTS / "frod/seed-0"
SUITE = """\
title: Tiny
description: One choice by likelihood and by classification, two methods, one seed.
rates_chosen: by hand, for tests
seeds: [0]
training: { epochs: 1, batch_size: 32, max_train: 320 }
methods: { full_ft: {}, frod: { sparse_rate: 0.02 } }
experiments:
  - tasks: [sums]
    backbone: micro_llama
    rates:
      full_ft: { lr: 1.0e-3, lr_head: 1.0e-3 }
      frod: { lr_scale: 1.0e-2, lr_rotation: 1.0e-2, lr_head: 1.0e-3 }
  - tasks: [sums_likelihood]
    backbone: micro_llama
    grid:
      full_ft: [{ lr: 1.0e-4 }, { lr: 1.0e-3 }]
      frod: [{ lr_scale: 1.0e-3, lr_rotation: 1.0e-3 }, { lr_scale: 1.0e-2, lr_rotation: 1.0e-2 }]
"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A project in which the suite has run to its report."""
    folder = tmp_path_factory.mktemp("scored")
    project = checkout(folder / "project", folder / "cache", SUITE)
    project.start()
    project.first_output = project.snakemake()
    return project


def test_weights_data_and_bases_of_all_tasks_come_before_any_training(scored):
    """So that what is wrong with one of them is said in the first minute."""
    begun = re.findall(r"^Job \d+: (\w+)", scored.first_output, re.M)
    assert sorted(begun[:4]) == ["basis", "task", "task", "weights"]


def test_both_figures_follow_from_what_the_predictions_hold(scored):
    """By hand: the highest sum, and the highest sum over the answer's bytes."""
    table = pd.read_parquet(scored.path(RUN / "predictions.parquet"))
    found = json.loads(scored.path(RUN / "metrics.json").read_text())["metrics"]
    for split, rows in table.groupby("split"):
        scores, sizes = np.stack(rows["scores"].tolist()), np.stack(rows["bytes"].tolist())
        assert sizes.min() >= 1 and (scores < 0).all()
        right = rows["label"].to_numpy()
        by_hand = {"accuracy": scores.argmax(1) == right, "accuracy_norm": (scores / sizes).argmax(1) == right}
        assert found[split] == {name: float(one.mean()) for name, one in by_hand.items()}


def test_it_learns_more_than_chance_and_the_report_has_both_ways(scored):
    """One of four is right; the micro Llama has seen such sums."""
    metrics = json.loads(scored.path(RUN / "metrics.json").read_text())["metrics"]
    assert metrics["test"]["accuracy"] > 0.5
    page = scored.path(REPORT / "index.html").read_text()
    assert "by likelihood" in page and "accuracy by likelihood per byte" in page
    summary = pd.read_parquet(scored.path("results/tiny/summary.parquet"))
    assert set(summary["task"]) == {"sums", "sums_likelihood"}


def test_an_audit_has_no_findings_and_finds_other_lengths(scored):
    """Lengths would make accuracy_norm another: they are held against the task's, besides the file's hash."""
    assert audited(scored.folder, REPORT) == []
    with kept(scored.folder, RUN):
        path = scored.path(RUN / "predictions.parquet")
        table = pd.read_parquet(path)
        table["bytes"] = [row + 1 for row in table["bytes"]]
        table.to_parquet(path, index=False)
        assert any("bytes in row 0 of test" in line for line in audited(scored.folder, REPORT))


def test_a_run_is_replayed_to_the_bit(scored):
    for method in ("full_ft", "frod"):
        status, text = scored.frod("replay", RESULTS / method / "seed-0")
        assert status == 0 and "the same, bit for bit" in text, text
