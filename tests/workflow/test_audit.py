"""A tree that is as the workflow left it has no findings; whatever is altered in it is found and named by its file.

Two seeds of the tiny suite, each alteration on its own, undone after it. What is found is held against what was done.
"""

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import many_runs
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from alterations import REPORT, RESULTS, RUN, audit, audited, change, flip, kept, rehash, relabel
from forgeries import EVERYTHING

from frod.audit import dvc_lock, tracked, walk
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.cli import audit as command
from frod.files import sha256

pytestmark = pytest.mark.usefixtures("alone")


def test_a_project_as_the_workflow_left_it_has_no_findings(finished):
    assert audited(finished.folder) == []


def test_two_seeds_have_no_findings_and_all_is_looked_at(project):
    with contextlib.chdir(project):
        study, findings = walk.audit(Path(REPORT))
    assert [finding.line() for finding in findings.found] == []
    assert findings.checked["runs"] == findings.checked["parameter counts"] == 6
    assert findings.checked["trials"] == 6
    assert findings.checked["costs"] == findings.checked["histories"] == 6 + 6
    assert findings.checked["MLflow runs"] == 6 + 6 + 3  # trainings, trials, choices
    assert findings.checked["commits"] == 2  # the runs', and the report's
    assert set(findings.unchecked) == {"DVC", "seconds, memory and machine"}
    assert len(study.digests) > 6 * 5


def test_what_an_honest_study_may_have_is_told_and_no_finding(project):
    """Another machine, another number of threads, what a killed process left, an earlier audit."""
    packages = {"torch": "1.0+cpu"}
    with kept(project, *EVERYTHING):
        for alter in (
            lambda record: record["environment"]["packages"].update(packages),
            lambda record: [record[name].update(threads=3) for name in ("environment", "processes")],
        ):
            change(project / RUN / "record.json", alter)
        many_runs.finish(project, [project / RUN], track=True)
        (project / RUN / ".tmp-host-1-history.parquet").touch()
        (project / REPORT / "audit.json").touch()
        findings = audit(project)
    assert [finding.line() for finding in findings.found] == []
    for said in (
        "1 run had 3 threads, where params.yaml and the suite give 1",
        "1 run had other packages than requirements.lock of their commit ",
        f"{RUN}/.tmp-host-1-history.parquet: half-written",
        f"{REPORT}/audit.json: what an earlier audit wrote",
    ):
        assert any(note.startswith(said) for note in findings.notes), findings.notes


@pytest.mark.parametrize(
    ("name", "adapted"),
    [("results.csv", False), *((name, True) for name in ("results.csv", "metrics.json", "claims.json", "index.html"))],
)
def test_an_edited_report_is_found_also_with_its_hash_adapted(project, name, adapted):
    path = project / REPORT / name
    text = path.read_text()
    place = text.rindex("0.")
    with kept(project, "reports"):
        path.write_text(text[: place + 2] + ("1" if text[place + 2] != "1" else "2") + text[place + 3 :])
        if adapted:
            change(project / REPORT / "report.json", lambda report: report["files"].update({name: sha256(path)}))
        lines = audited(project)
    again = [line for line in lines if line.startswith(f"{REPORT}/{name}: does not follow from the runs' files: ")]
    assert len(again) == 1 and "expected" in again[0] and "; run `snakemake report`" in again[0]
    assert any(line.startswith(f"{REPORT}/{name}: sha256 (in report.json)") for line in lines) != adapted
    if name == "results.csv":
        assert "column " in again[0]


def in_store(project, statement, *values):
    with sqlite3.connect(project / "mlflow.db") as database:
        assert database.execute(statement, values).rowcount > 0


def mlflow_only(project):
    """Findings of the comparison with MLflow alone."""
    with contextlib.chdir(project):
        findings = Findings()
        tracked.check(Study.open(Path(REPORT)), findings)
    return findings


KEY, FULL = "tiny/task_0/digit_vit/frod/seed-0", "tiny/task_0/digit_vit/full_ft/seed-0"
RUN_ID = "(select run_uuid from tags where key = 'frod.run' and value = ?)"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            f"update tags set value = '{FULL}' where key = 'frod.run' and run_uuid = {RUN_ID}",
            [f"MLflow {KEY}: runs with this tag frod.run: expected 1, found 0", f"MLflow {FULL}: runs with this tag"],
        ),
        (f"update tags set value = 'mine' where key = 'frod.run' and run_uuid = {RUN_ID}", ["MLflow run "]),
        (
            f"update latest_metrics set value = value + 0.01 where key = 'test_accuracy' and run_uuid = {RUN_ID}",
            [f"MLflow {KEY} (run "],
        ),
        (f"update params set value = 'x' where key = 'spec.adapter.kind' and run_uuid = {RUN_ID}", [f"MLflow {KEY} ("]),
        (f"update tags set value = 'x' where key = 'frod.record' and run_uuid = {RUN_ID}", [f"MLflow {KEY} (run "]),
        (f"update runs set end_time = end_time + 1 where run_uuid = {RUN_ID}", [f"MLflow {KEY} (run "]),
        (f"update runs set lifecycle_stage = 'deleted' where run_uuid = {RUN_ID}", [f"MLflow {KEY}: runs with this"]),
    ],
)  # fmt: skip
def test_a_run_relabelled_edited_or_deleted_in_mlflow_is_found(project, statement, expected):
    with kept(project, "mlflow.db"):
        in_store(project, statement, KEY)
        lines = [finding.line() for finding in mlflow_only(project).found]
    assert all(any(line.startswith(start) for line in lines) for start in expected), "\n".join(lines)


def test_a_run_twice_in_mlflow_is_found(project):
    from mlflow import MlflowClient

    with kept(project, "mlflow.db"):
        client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
        again = client.create_run(client.get_experiment_by_name("tiny").experiment_id, tags={"frod.run": KEY})
        lines = [finding.line() for finding in mlflow_only(project).found]
    assert f"MLflow {KEY}: runs with this tag frod.run: expected 1, found 2; run `frod track results/tiny`" in lines
    assert any(again.info.run_id in line for line in lines)


def test_a_store_that_cannot_be_had_is_said_and_not_made(project, tmp_path, monkeypatch):
    empty = tmp_path / "empty.db"
    empty.touch()
    for uri, reason in [
        (f"sqlite:///{tmp_path / 'none.db'}", "there is no"),
        (f"sqlite:///{empty}", "cannot be read as a store of MLflow"),
        ("http://user:hunter2hunter2@127.0.0.1:9", "the store cannot be read"),
    ]:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        findings = mlflow_only(project)
        assert findings.found == []
        assert reason in findings.unchecked["MLflow"]
        assert "hunter2" not in findings.unchecked["MLflow"]
    assert not (tmp_path / "none.db").exists()
    assert empty.stat().st_size == 0
    monkeypatch.setenv("FROD_TRACKING", "off")
    assert mlflow_only(project).unchecked["MLflow"] == "tracking is off"


def recoded(project, **code):
    """All runs' code as stated."""
    for path in (project / RESULTS).glob("*/seed-*/record.json"):
        change(path, lambda record: record["code"].update(code))


def test_runs_of_another_commit_are_found(project):
    commits = subprocess.run(["git", "log", "--format=%H"], cwd=project, capture_output=True, text=True, check=True)
    start = commits.stdout.split()[-1]
    with kept(project, "results"):
        recoded(project, git_commit=start)  # the same code, another suite
        lines = audited(project)
        assert any(f"workflow/suites/tiny.yaml: plans other runs than commit {start[:12]}" in line for line in lines)
    with kept(project, "results", ".git"):
        recoded(project, git_commit="1" * 40)
        (project / ".git/shallow").write_text(f"{start}\n")  # what lies before it may have that commit
        assert "git fetch" in audit(project).unchecked["code of 6 runs against git"]


def test_runs_of_other_code_are_found(project):
    with kept(project, "results"):
        change(project / RUN / "record.json", lambda record: record["code"].update(hash="0" * 64))
        lines = audited(project)
        assert any(f"{RUN}/record.json: code.hash: other code than the other runs'" in line for line in lines)
        recoded(project, hash="0" * 64)
        lines = audited(project)
        assert any("/seed-0/record.json: code.hash (and of 5 more): run by other code" in line for line in lines)
        assert any(line.startswith(f"{RUN}/record.json: code.hash, by commit") for line in lines)


def test_parameters_that_the_commit_does_not_have_are_found(project):
    with kept(project, "reports"):
        change(project / REPORT / "report.json", lambda report: report["params"]["split"].update(seed=7))
        lines = audited(project)
    commit = json.loads((project / REPORT / "report.json").read_text())["code"]["git_commit"][:12]
    start = f"{REPORT}/report.json: params, by params.yaml of commit {commit}.split.seed: expected 0, found 7"
    assert any(line.startswith(start) for line in lines), "\n".join(lines)
    assert any(line.startswith(f"{RUN}/record.json: spec.split_seed: expected 7, found 0") for line in lines)


def test_a_forgery_in_all_files_is_found_by_what_it_cannot_alter(project):
    """Labels by the task's arrays; validation by the history; test by MLflow alone, until that is altered, too."""
    with kept(project, *EVERYTHING):
        relabel(project / RUN, "test")
        rehash(project, project / RUN)
        assert any(line.startswith(f"{RUN}/predictions.parquet: label in row") for line in audited(project))
    with kept(project, *EVERYTHING):
        relabel(project / RUN, "validation", "prediction")
        rehash(project, project / RUN)
        lines = audited(project)
        assert any(line.startswith(f"{RUN}/history.parquet: last validation_accuracy") for line in lines)
    with kept(project, *EVERYTHING):
        relabel(project / RUN, "test", "prediction")
        rehash(project, project / RUN)
        lines = audited(project)
        assert lines and all(line.startswith(f"MLflow {KEY} (run ") for line in lines)
        many_runs.finish(project, [project / RUN], track=True)
        # Whether the model really predicts this only the model can tell: `frod replay`.
        assert audited(project) == []


def test_the_command_prints_a_line_a_finding_and_ends_in_its_status(project, tmp_path, capsys, monkeypatch):
    def run(*arguments):
        with contextlib.chdir(project), pytest.raises(SystemExit) as end:
            command.audit(*arguments)
        return end.value.code, capsys.readouterr()

    out = tmp_path / "audit.json"
    status, printed = run(Path(REPORT), out)
    assert status == 0, printed.out + printed.err
    assert "no findings" in printed.out and "checked: " in printed.out
    assert json.loads(out.read_text())["findings"] == []
    monkeypatch.setattr(walk, "WORKERS", 1)  # another process would import all that this one has
    with kept(project, "results"):
        flip(project / RUN / "adapter.safetensors")
        status, printed = run(project / REPORT, out)
    assert status == 1
    found = json.loads(out.read_text())["findings"]
    assert {one["file"] for one in found} >= {f"{RUN}/adapter.safetensors"}
    assert printed.out.splitlines()[0].startswith(found[0]["file"])
    assert f"{len(found)} finding" in printed.out.splitlines()[-1]
    status, printed = run(Path("reports/nowhere"))
    assert status == 2 and "reports/nowhere/report.json is not there" in printed.err


def test_dvc_agrees_until_a_file_or_the_lock_is_altered(finished):
    """Committed by DVC itself; a file is named where DVC's listing of the folder is at hand, else the folder."""
    finished.snakemake("data", "bases", "runs", "report")
    finished.run("python", "-m", "frod.pipeline.commit")
    path = finished.path("results/tiny/digits/digit_vit/frod/tune/trial-0-seed-100.json")

    def lines():
        with contextlib.chdir(finished.folder):
            study, findings = Study.open(Path(REPORT)), Findings()
            study.digests.md5 = True
            dvc_lock.check(study, findings)
        assert findings.unchecked == {} and findings.checked["DVC entries"] > 5
        return [finding.line() for finding in findings.found]

    assert lines() == []
    with kept(finished.folder, "results"):
        path.write_text(path.read_text() + "\n")
        (one,) = [line for line in lines() if "trial-0-seed-100.json" in line]
        assert one.startswith(
            "results/tiny/digits/digit_vit/frod/tune/trial-0-seed-100.json: md5 (in dvc.lock, as results/tiny)"
        )
    lock = yaml.safe_load(finished.path("dvc.lock").read_text())
    entry = next(out for out in lock["stages"]["runs"]["outs"] if out["path"] == "results/tiny")
    with kept(finished.folder, "dvc.lock"):
        finished.edit("dvc.lock", entry["md5"], "0" * 32 + ".dir")
        assert any(line.startswith("results/tiny: md5 of the folder (in dvc.lock)") for line in lines())


def test_without_a_lock_of_this_suite_dvc_is_not_checked(project):
    findings = Findings()
    with contextlib.chdir(project):
        dvc_lock.check(Study.open(Path(REPORT)), findings)
    assert findings.unchecked == {"DVC": "there is no dvc.lock"} and findings.found == []


def test_a_suite_that_the_lock_does_not_list_is_not_checked_by_dvc(project):
    findings = Findings()
    with contextlib.chdir(project):
        (project / "dvc.lock").write_text("stages: {runs: {outs: [{path: results/other, md5: 00.dir}]}}")
        dvc_lock.check(Study.open(Path(REPORT)), findings)
        (project / "dvc.lock").unlink()
    assert "results/tiny" in findings.unchecked["DVC"] and findings.found == []


def test_predictions_are_read_as_written(project):
    """The alterations above are of files that pandas wrote again: written again without one they are what they were."""
    path = project / RUN / "predictions.parquet"
    before = path.read_bytes()
    with kept(project, RUN):
        pd.read_parquet(path).to_parquet(path, index=False)
        assert path.read_bytes() == before
    assert pq.read_table(path).column_names == ["split", "example_id", "label", "prediction", "scores"]
