"""A task that a report leaves out may have been missing from a mirror; where it cannot have been, that is a finding."""

import pytest
from small_suite import RATES, SUITE, load

from frod.audit import report_files
from frod.audit.findings import Findings
from frod.audit.study import Study


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FROD_MIRROR", raising=False)
    (tmp_path / "mirror").mkdir()


def audited(folder, skipped, *, mirror="mirror"):
    """Lines and notes on a report without some tasks, of a suite that may leave out what its mirror lacks."""
    experiment = SUITE["experiments"][0] | {"tasks": ["digits", "mnist", "cola"], "rates": RATES}
    params = {"suite": "small", "paths": {"mirror": mirror}}
    workflow = load(folder, params, SUITE | {"skip_missing": True, "experiments": [experiment]})
    written = {"params": params, "skipped": skipped, "files": {}, "inputs": {}}
    study = Study(report=folder / "report", written=written, workflow=workflow.without(skipped))
    findings = Findings()
    report_files._check_skipped(study, folder / "report.json", findings)
    return [one.line().removeprefix(f"{folder}/") for one in findings.found], findings.notes


@pytest.mark.parametrize("mirror", ["mirror", None])
def test_what_no_mirror_has_is_a_note(tmp_path, mirror):
    lines, notes = audited(tmp_path, ["mnist", "cola"], mirror=mirror)
    assert lines == []
    assert notes == [f"{tmp_path}/report.json: tasks are left out, as a mirror lacked their data: mnist, cola"]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("digits", "a mirror cannot lack its data, which are not the Hub's"),
        ("sst2", "the suite has no such task"),
        ("better", "the suite has no such task"),
    ],
)
def test_what_cannot_have_been_missing_is_a_finding(tmp_path, task, why):
    lines, notes = audited(tmp_path, [task])
    assert lines == [f"report.json: skipped: {task}, and {why}; run `snakemake`"] and notes == []


def test_what_a_mirror_has_is_a_finding(tmp_path):
    for split in ("train", "test"):
        path = tmp_path / f"mirror/datasets/ylecun/mnist/mnist/{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    lines, notes = audited(tmp_path, ["mnist", "cola"])
    assert lines == ["report.json: skipped: mnist, and the mirror mirror has its data; run `snakemake`"]
    assert notes[0].endswith(": cola")


def test_what_was_prepared_here_is_a_finding(tmp_path):
    (tmp_path / "data/tasks/mnist/digit_vit").mkdir(parents=True)
    lines, _ = audited(tmp_path, ["mnist"])
    assert [line.partition("; ")[0] for line in lines] == [
        "report.json: skipped: mnist, and data/tasks/mnist has its data"
    ]
