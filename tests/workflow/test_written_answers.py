"""A suite whose task is answered in writing, from the Snakefile to the report: audited, replayed, not to be forged."""

import itertools
import json
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from alterations import audited
from projects import checkout

SUITE = """\
title: Written
description: Three methods, one seed, one trial each.
seeds: [0]
training: { epochs: 1, batch_size: 32, max_train: 640, max_validation: 20 }
methods: { full_ft: {}, frod: { sparse_rate: 0.02 }, lora: {} }
experiments:
  - tasks: [worked_sums]
    backbone: micro_llama
    grid:
      full_ft: [{ lr: 5.0e-3 }]
      frod: [{ lr_scale: 5.0e-2, lr_rotation: 5.0e-2 }]
      lora: [{ lr: 1.0e-2 }]
"""
RUNS = "results/tiny/worked_sums/micro_llama"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The suite, run to its report in a repository of its own."""
    top = tmp_path_factory.mktemp("written")
    project = checkout(top / "project", top / "cache", SUITE)
    project.start()
    project.snakemake()
    return project


@pytest.mark.parametrize("method", ["full_ft", "frod", "lora"])
def test_exact_match_is_that_of_the_texts(written, method):
    """Read without an expression: the last number that stands after an equals sign."""
    folder = written.path(f"{RUNS}/{method}/seed-0")
    table = pd.read_parquet(folder / "predictions.parquet")
    assert list(table) == ["split", "example_id", "label", "prediction", "scores", "text"]
    found = json.loads((folder / "metrics.json").read_text())
    assert found["examples"] == {"validation": 20, "test": 200}
    for split, rows in table.groupby("split"):
        words = [text.split() for text in rows["text"]]
        sums = [[two for one, two in itertools.pairwise(of) if one == "=" and two.isdigit()] for of in words]
        right = sum(of[-1:] == [label] for of, label in zip(sums, rows["label"]))
        assert found["metrics"][split]["exact_match"] == pytest.approx(right / len(rows))
    losses = pd.read_parquet(folder / "history.parquet")["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_the_report_names_the_metric_and_no_classes(written):
    page = written.path("reports/tiny/index.html").read_text()
    assert "exact match" in page and "one example is 0.5 points" in page
    assert "200 test examples" in page and "1 class" not in page


def test_it_is_replayed_bit_for_bit_and_audited(written):
    for what in ("frod/seed-0", "lora/seed-0", "full_ft/tune/trial-0-seed-100.json"):
        status, text = written.frod("replay", f"{RUNS}/{what}")
        assert status == 0 and "the same, bit for bit" in text, text
    assert audited(written.folder) == []


def test_an_answer_that_its_text_does_not_hold_is_found(written):
    """The audit reads the texts again: no hash is needed to tell."""
    path = written.path(f"{RUNS}/lora/seed-0/predictions.parquet")
    before = path.read_bytes()
    table = pq.read_table(path)
    place = table.schema.get_field_index("prediction")
    pq.write_table(table.set_column(place, "prediction", pa.array(table["label"].to_pylist())), path)
    try:
        found = "\n".join(audited(written.folder))
    finally:
        path.write_bytes(before)
    assert re.search(r"metrics cannot be computed: .* is not read out of its text", found), found


def test_peft_s_benchmark_is_planned(written):
    plan = written.snakemake("--dry-run", "--config", "suite=metamath")
    assert len(re.findall(r"^train +12$", plan, re.MULTILINE)) >= 1, plan
