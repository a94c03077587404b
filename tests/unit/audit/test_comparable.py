"""Runs of one task and seed read the same data and weights; their bases may differ, wherever the data lie."""

import pytest
from small_suite import load

from frod.audit import runs
from frod.audit.findings import Findings
from frod.audit.study import Study


@pytest.fixture(params=["data", "there/bases/data"])
def study(request, tmp_path, monkeypatch):
    """Records of all runs as far as they are compared; the folder of the data may have the name of the bases'."""
    monkeypatch.chdir(tmp_path)
    workflow = load(tmp_path, {"paths": {"data": request.param}})
    made = Study(report=tmp_path, written={}, workflow=workflow)
    made.records = {}
    for key, run in made.runs.items():
        made.records[key] = {"inputs": dict.fromkeys(made.inputs(run, tuned=True), "00")}
    return made


def lines(study):
    findings = Findings()
    runs.check_comparable(study, findings)
    return [one.what for one in findings.found]


def test_a_basis_of_one_s_own_is_no_difference(study):
    assert lines(study) == []


@pytest.mark.parametrize("name", ["source.json", "tasks/digits/digit_vit/manifest.json"])
def test_other_weights_or_data_are_named(study, name):
    inputs = next(iter(study.records.values()))["inputs"]
    (path,) = [path for path in inputs if path.endswith(name)]
    inputs[path] = "01"
    assert lines(study) == [f"differs from the runs it is compared with in.inputs.{path}"]
