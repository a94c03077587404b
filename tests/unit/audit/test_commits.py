"""Runs of files that were not committed: a note where some commit has their very code and suite, else a finding."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from frod.audit import commits
from frod.audit.findings import Findings
from frod.reporting.changes import Change

START = "2024-05-01T12:00:00+00:00"
WORKFLOW = SimpleNamespace(params=SimpleNamespace(suite="small"))
OTHER = Change("seeds", [0], [1])


def content(tree):
    return (commits.later_code.whole_package(tree) / "code.py").read_text()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout whose one file is code and plan; `commit(text, hour)` commits it and returns the commit."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frod").mkdir()

    def run(*arguments, hour=0):
        date = {f"GIT_{who}_DATE": f"2024-05-01T{hour:02}:00:00+00:00" for who in ("AUTHOR", "COMMITTER")}
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
            env=os.environ | date,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(text, hour):
        (tmp_path / "frod/code.py").write_text(text)
        run("add", "-A")
        run("commit", "-qm", text, hour=hour)
        return run("rev-parse", "HEAD")

    run("init", "-q")
    monkeypatch.setattr(commits, "_code_hash", lambda tree, _: content(tree))
    monkeypatch.setattr(commits, "_check_report", lambda *_: None)
    monkeypatch.setattr(commits.later_code, "check", lambda *_: None)
    monkeypatch.setattr(commits.later_code, "check_here", lambda *_: None)
    monkeypatch.setattr(commits, "_check_code", lambda *_: None)
    return commit


def audited(monkeypatch, tmp_path, commit, digest, *, edited, plan=None):
    """The findings about one run of 12 o'clock."""
    plan = digest.lower() if plan is None else plan
    monkeypatch.setattr(commits, "_changes", lambda _, tree: [OTHER] if content(tree).lower() != plan else [])
    record = {"code": {"git_commit": commit, "hash": digest, "git_dirty": edited}, "started": START}
    study = SimpleNamespace(records={"run": record}, folder=lambda _: tmp_path / "run", workflow=WORKFLOW)
    monkeypatch.setattr(commits, "_check_plan", lambda *_: None)
    findings = Findings()
    commits.check(study, findings)
    return [finding.line() for finding in findings.found], findings.notes


def test_of_a_committed_run_nothing_is_said(repository, monkeypatch, tmp_path):
    assert audited(monkeypatch, tmp_path, repository("Old", 10), "Old", edited=False) == ([], [])


def test_a_later_commit_of_the_very_files_makes_it_a_note(repository, monkeypatch, tmp_path):
    old = repository("Old", 10)
    repository("Between", 13)
    later = repository("New", 14)
    repository("After", 15)
    found, (note,) = audited(monkeypatch, tmp_path, old, "New", edited=True)
    assert not found
    assert f"commit {later[:12]} has their very code and suite, committed after them (2024-05-01T14:00:00" in note
    assert note.endswith(f"; before them commit {old[:12]} said otherwise: seeds")


def test_edits_of_other_files_are_a_note_on_the_commit_itself(repository, monkeypatch, tmp_path):
    old = repository("Old", 10)
    found, (note,) = audited(monkeypatch, tmp_path, old, "Old", edited=True)
    assert not found
    assert note.endswith(f"commit {old[:12]} has their very code and suite")


@pytest.mark.parametrize(("digest", "plan"), [("Never", None), ("New", "another plan")], ids=["code", "suite"])
def test_files_that_no_commit_has_are_a_finding(repository, monkeypatch, tmp_path, digest, plan):
    old = repository("Old", 10)
    repository("New", 14)
    (line,), notes = audited(monkeypatch, tmp_path, old, digest, edited=True, plan=plan)
    assert "edited since commit" in line and "commit them as they were" in line
    assert not notes


def test_a_run_that_began_before_its_commit_is_a_finding(repository, monkeypatch, tmp_path):
    (line,), _ = audited(monkeypatch, tmp_path, repository("Old", 13), "Old", edited=False)
    assert "code.git_commit: younger than the run's start 2024-05-01 12:00:00+00:00" in line


@pytest.mark.parametrize(
    ("git_says", "report_says", "kind"),
    [
        ({"commit": "1", "changes": []}, {"commit": "1", "changes": []}, None),
        ({"commit": "1", "changes": [OTHER._asdict()]}, {"commit": "1", "changes": []}, "found"),
        ({"commit": "1", "changes": []}, None, "found"),
        ({"commit": "1", "changes": []}, {"unknown": "no git"}, "notes"),
        ({"unknown": "this clone has no commit"}, {"commit": "1", "changes": []}, "unchecked"),
    ],
)
def test_what_the_report_says_was_changed_is_what_git_says(monkeypatch, tmp_path, git_says, report_says, kind):
    monkeypatch.setattr(commits.changes, "since_first_run", lambda *_: git_says)
    study = SimpleNamespace(written={"since_first_run": report_says}, records={}, workflow=None)
    findings = Findings()
    commits._check_since(study, tmp_path / "report.json", findings)
    assert {name for name in ("found", "notes", "unchecked") if getattr(findings, name)} == ({kind} - {None})


def test_a_later_commit_that_cannot_be_read_is_passed_over(repository, monkeypatch, tmp_path):
    old = repository("Old", 10)
    broken = repository("Broken", 13)
    later = repository("New", 14)

    def hashed(tree, _):
        if tree.name == broken:
            raise ValueError("suite: unknown key")
        return content(tree)

    monkeypatch.setattr(commits, "_code_hash", hashed)
    found, (note,) = audited(monkeypatch, tmp_path, old, "New", edited=True)
    assert not found and later[:12] in note
