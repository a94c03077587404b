"""A run that is gone is a finding where this very code made it and has seen test, else a note; none is passed over."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from frod.audit import witnesses
from frod.audit.findings import Findings
from frod.audit.witnesses import Witness
from frod.provenance import dvc_lock

RUN = "digits/vit/frod/seed-7"
STUDY = SimpleNamespace(usual_code="this", results=Path("results/one"))


@pytest.fixture(autouse=True)
def planned(monkeypatch):
    monkeypatch.setattr(witnesses, "names", lambda _: {"digits/vit/frod/seed-0"})


@pytest.mark.parametrize(
    ("key", "code", "kind"),
    [
        (RUN, "this", "found"),
        (RUN, "other", "notes"),
        (RUN, None, "notes"),
        ("digits/vit/frod/tune/trial-7-seed-100", "this", "notes"),
        ("digits/vit/frod/seed-0", "this", None),
    ],
)
def test_a_run_that_is_gone_is_named_by_who_made_it(key, code, kind):
    findings = Findings()
    witnesses.told(STUDY, [Witness("MLflow", key, code, "accuracy 0.1")], findings)
    said = [finding.line() for finding in findings.found] + findings.notes
    assert {name for name in ("found", "notes") if getattr(findings, name)} == {kind} - {None}
    assert all(key in line and "accuracy 0.1" in line and "MLflow tells" in line for line in said)


def test_the_locks_that_git_has_had_are_read_and_a_broken_one_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def commit(lock):
        Path("dvc.lock").write_text(lock)
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        for command in (["add", "dvc.lock"], [*author, "commit", "-qm", "lock"]):
            subprocess.run(["git", *author, *command], check=True)

    subprocess.run(["git", "init", "-q"], check=True)
    out = {"path": "results/one", "md5": "12" * 16 + ".dir"}
    commit(yaml.safe_dump({"stages": {"runs": {"outs": [out]}}}))
    commit("<<<<<<< a: [")
    commit("{}")
    listing = dvc_lock.CACHE / "12" / f"{'12' * 15}.dir"
    listing.parent.mkdir(parents=True)
    files = [f"{RUN}/record.json", f"{RUN}/metrics.json", f"released/{RUN}/record.json"]
    listing.write_text(json.dumps([{"relpath": name, "md5": "3" * 32} for name in files]))
    findings = Findings()
    (found,) = witnesses._locked(STUDY, findings)
    assert found.key == RUN and found.code is None and found.where.startswith("dvc.lock of commit ")
    assert list(findings.unchecked.values()) == ["it is not what DVC writes"]
