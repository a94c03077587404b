"""Bytes of answers, by which accuracy_norm divides, are the task's to the digit: in an audit, and in a replay."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from frod.audit import predictions
from frod.audit.findings import Findings
from frod.audit.traces import Traces
from frod.config import Training
from frod.runs import deviations
from frod.tasks.arrays import Scored

BYTES = [[2, 1], [3, 4]]


def table(sizes):
    """Predictions of validation: two questions of two answers."""
    scores = [[-2.0, -1.5], [-3.0, -3.9]]
    of = {"split": "validation", "example_id": [5, 6], "label": [0, 1], "prediction": [1, 0]}
    return pd.DataFrame(of | {"scores": scores, "bytes": sizes})


def found(folder, sizes):
    table(sizes).to_parquet(folder / "trial-0.predictions.parquet")
    arrays = {"bytes": np.array(BYTES).ravel()}
    data = Scored(name="validation", labels=np.array([0, 1]), ids=np.array([5, 6]), arrays=arrays, inputs={})
    study = SimpleNamespace(manifest=lambda *names: {"scoring": "likelihood", "splits": {}}, split=lambda *names: data)
    run = SimpleNamespace(task="t", backbone="b", protocol="audited", split_seed=0, training=Training())
    findings = Findings()
    left = Traces(run=run, path=folder / "trial-0.json", record={})
    predictions.check_predictions(study, left, findings)
    return [one.line().removeprefix(f"{folder}/").partition(": expected")[0] for one in findings.found]


def test_the_task_s_own_are_no_finding(tmp_path):
    assert found(tmp_path, BYTES) == []


@pytest.mark.parametrize("sizes", [[[2, 1], [3, 5]], [[2, 1.9], [3, 4]], [[2, 1], [3, np.nan]], [[2, 1], [3, None]]])
def test_others_are_named_also_where_they_are_cut_to_the_same_whole_number(tmp_path, sizes):
    row = 0 if sizes[1] == [3, 4] else 1
    assert found(tmp_path, sizes) == [
        f"trial-0.predictions.parquet: bytes in row {row} of validation, by the task's arrays"
    ]


def test_a_replay_compares_them():
    same = deviations.predictions(table(BYTES), table(BYTES))
    assert all(one.exact for one in same)
    (other,) = deviations.predictions(table(BYTES), table([[2, 1.9], [3, 4]]))
    assert (other.what, other.differing, other.where, other.exact) == ("predictions: bytes", 1, "row 0", False)
