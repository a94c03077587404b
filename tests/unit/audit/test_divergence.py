"""What a record says of a divergence is held against the losses, in either direction; counts of reads end where it did.

Trainings of four epochs of ten steps; how often splits were read by a step is counted by hand.
"""

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from frod.audit import divergence, runs
from frod.audit.findings import Findings
from frod.audit.traces import Traces
from frod.config import Training

NAN, INF = math.nan, math.inf
BY = "record.json: undefined, by history.parquet"
AT_STEP = "diverged: step 13 of 40: loss nan, gradient norm inf, rates lr_head 9. Lower this method's rates"
AT_SCORES = "diverged: scores on validation are not finite; lower this method's rates in the suite"


def history(steps, *, last=(1.0, 1.0), validation=0.5):
    """Losses of so many steps, the last one as given; validation is looked at after each epoch."""
    table = pd.DataFrame({"step": range(1, steps + 1), "loss": 1.0, "grad_norm": 1.0, "validation_accuracy": NAN})
    table.loc[steps - 1, ["loss", "grad_norm"]] = last
    table.loc[9::10, "validation_accuracy"] = 0.5
    table.loc[steps - 1, "validation_accuracy"] = validation
    return table


def found(folder, said, table):
    """Lines on a run of this message and history, whose adapter is looked at elsewhere."""
    table.to_parquet(folder / "history.parquet")
    run = SimpleNamespace(task="t", backbone="b", seed=0, split_seed=0, training=Training())
    study = SimpleNamespace(once=lambda key, make: {"steps": 40, "steps_per_epoch": 10})
    left = Traces(run=run, path=folder / "record.json", record={"undefined": said})
    findings = Findings()
    divergence.check(study, left, left.read_history(), findings)
    assert findings.checked["divergences"] == (said is not None)
    return [line.line().removeprefix(f"{folder}/") for line in findings.found]


@pytest.mark.parametrize(
    ("said", "table"),
    [
        (None, history(40)),
        (AT_STEP, history(13, last=(NAN, INF), validation=NAN)),
        (AT_SCORES, history(20, validation=NAN)),
        (AT_SCORES, history(40, validation=NAN)),
        ("diverged: scores on test_mismatched are not finite", history(40)),
    ],
)
def test_what_agrees_is_no_finding(tmp_path, said, table):
    assert found(tmp_path, said, table) == []


@pytest.mark.parametrize(
    ("said", "table", "line"),
    [
        (None, history(40, last=(NAN, 1.0)), "history.parquet: loss and gradient norm of step 40; the record names no"),
        (None, history(40, last=(1.0, INF)), "history.parquet: loss and gradient norm of step 40; the record names no"),
        (AT_STEP, history(13), f"{BY}, whose 13 losses are all finite: "),
        (AT_STEP, history(12, last=(NAN, INF)), f"{BY}: expected diverged: step 12 of 40"),
        (AT_STEP, history(13, last=(NAN, NAN)), f"{BY}: expected diverged: step 13 of 40"),
        (AT_SCORES, history(13), f"{BY}, whose 13 losses are all finite: "),
        (AT_SCORES, history(20), "record.json: undefined, by validation_accuracy in history.parquet: "),
        ("bad luck", history(20, validation=NAN), f"{BY}, whose 20 losses"),
    ],
)
def test_what_does_not_agree_is_named(tmp_path, said, table, line):
    assert any(one.startswith(line) for one in found(tmp_path, said, table)), found(tmp_path, said, table)


def test_steps_after_the_one_that_was_not_finite_are_named(tmp_path):
    longer = pd.concat([history(13, last=(NAN, INF)), history(40).iloc[13:]])
    assert [one.partition(": expected")[0] for one in found(tmp_path, AT_STEP, longer)] == [
        "history.parquet: steps, by the first that is not finite"
    ]


@pytest.mark.parametrize(
    ("said", "steps", "expected"),
    [
        ("diverged: step 1 of 40: loss nan", 1, (0, 0, 0)),
        ("diverged: step 10 of 40: loss nan", 10, (0, 0, 0)),  # losses are read before the look after an epoch
        ("diverged: step 11 of 40: loss nan", 11, (1, 0, 0)),
        ("diverged: scores on validation are not finite", 10, (1, 0, 0)),
        ("diverged: scores on validation are not finite", 40, (4, 0, 0)),
        ("diverged: scores on test are not finite", 40, (5, 1, 0)),
        ("diverged: scores on test_mismatched are not finite", 40, (5, 1, 1)),
    ],
)
def test_splits_are_read_until_it_diverged(tmp_path, said, steps, expected):
    history(steps).to_parquet(tmp_path / "history.parquet")
    whole = {"test": 1, "test_mismatched": 1, "validation": 5}
    read = runs._until(said, tmp_path / "history.parquet", 10, whole, "validation")
    assert (read["validation"], read["test"], read["test_mismatched"]) == expected
