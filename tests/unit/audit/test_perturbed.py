"""Which rows a table of losses under perturbation has follows from the plan: a seed left out, or twice, is named."""

import pandas as pd
import pytest
from small_suite import load

from frod.audit import perturbed
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.runs import sharpness

TABLE = "results/small/digits/digit_vit/frod/sharpness.parquet"
AROUND = [(0, 0.0), (1, -0.05), (1, 0.05), (2, -0.05), (2, 0.05), (3, -0.05), (3, 0.05)]


def rows(seeds, examples):
    of = [(seed, examples, *place, 1.0) for seed in seeds for place in AROUND]
    return pd.DataFrame(of, columns=["seed", "examples", "direction", "step", "loss"])


def audited(folder, monkeypatch, table, *, validation=180, diverged=()):
    """Lines on FRoD's table of a study of the seeds 0 and 1."""
    monkeypatch.chdir(folder)
    study = Study(report=folder, written={}, workflow=load(folder))
    study.records = {key: {"undefined": "diverged" if key.seed in diverged else None} for key in study.runs}
    monkeypatch.setattr(study, "split", lambda *names: range(validation))
    (folder / TABLE).parent.mkdir(parents=True)
    table.to_parquet(folder / TABLE, index=False)
    findings = Findings()
    perturbed.check(study, findings)
    return [one.line().removeprefix(f"{TABLE}: ").partition(": expected")[0] for one in findings.found]


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        (rows([0, 1], 180), {}),
        (rows([1, 0], 180), {}),  # seeds may be in another order now
        (rows([0, 1], 256), {"validation": 1000}),
        (rows([1], 180), {"diverged": [0]}),
        (rows([], 180), {"diverged": [0, 1]}),
    ],
)
def test_what_is_planned_is_no_finding(tmp_path, monkeypatch, table, facts):
    assert audited(tmp_path, monkeypatch, table, **facts) == []


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (rows([0], 180), "by the plan.rows (length)"),
        (rows([0, 1, 1], 180), "by the plan.rows[8]"),
        (rows([0, 2], 180), "by the plan.rows[7]"),
        (rows([0, 1], 60), "by the plan.rows[0]"),
        (rows([0, 1], 180).drop(index=2), "by the plan.rows[2]"),
        (rows([0, 1], 180).replace({"step": {0.05: 0.01}}), "by the plan.rows[2]"),
    ],
)
def test_other_rows_are_named(tmp_path, monkeypatch, table, line):
    assert audited(tmp_path, monkeypatch, table) == [line]


def test_a_run_that_diverged_has_no_row(tmp_path, monkeypatch):
    assert audited(tmp_path, monkeypatch, rows([0, 1], 180), diverged=[0]) == ["by the plan.rows[0]"]


def test_the_plan_is_that_of_the_stage_that_makes_the_table():
    """The audit has these numbers of its own, as the stage's module takes a second to import."""
    own = perturbed.DIRECTIONS, perturbed.STEPS, perturbed.EXAMPLES
    assert own == (sharpness.DIRECTIONS, sharpness.STEPS, sharpness.EXAMPLES)
    assert set(perturbed.COLUMNS) < set(sharpness.schema().names)
