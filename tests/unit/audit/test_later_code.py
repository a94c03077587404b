"""What was changed after the runs and stands in no suite is told: registries, the code of the page, the audit's own."""

import py_compile
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from frod.audit import later_code
from frod.audit.findings import Findings
from frod.provenance import code, history

STUDY = SimpleNamespace(workflow=SimpleNamespace(pairs=lambda: [("digits", "digit_vit")]))


@pytest.fixture
def tree(tmp_path):
    """The package as of a commit, which is that of here."""
    tree = tmp_path / ("1" * 40)
    shutil.copytree(code.PACKAGE_DIRECTORY, tree / "frod", ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def checked(tree):
    later_code.BY_COMMIT.clear()
    findings = Findings()
    later_code.check(STUDY, tree, findings)
    return [finding.line() for finding in findings.found], findings.notes


def git(*arguments):
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=input"]
    command = ["git", *author, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_of_the_same_code_nothing_is_said(tree):
    assert checked(tree) == ([], [])


def test_modules_that_verdicts_are_made_by_are_named_first(tree):
    for name in ("reporting/page.py", "claims/claim.py", "config/suite.py"):
        (tree / "frod" / name).write_text((tree / "frod" / name).read_text() + "\nFORGED = 1\n")
    found, (note,) = checked(tree)
    assert not found
    assert note.endswith(", by which runs were made: frod.claims.claim, frod.config.suite, frod.reporting.page")


def test_an_entry_of_a_registry_is_what_it_was(tree):
    edit(tree / "frod/tasks/registry.yaml", "rows: 180", "rows: 181")
    edit(tree / "frod/backbones/registry.yaml", "licence: Apache-2.0", "licence: mine")
    edit(tree / "frod/backbones/registry.yaml", "title: all-MiniLM-L6-v2", "title: of no run")
    found, notes = checked(tree)
    assert [line.partition(": expected")[0] for line in found] == [
        "frod/tasks/registry.yaml: digits.validation, by commit 111111111111"
    ]
    assert notes == [
        "frod/backbones/registry.yaml: digit_vit.licence is Apache-2.0, and was mine at commit 111111111111"
    ]


def test_the_code_of_a_commit_is_added_to_the_files_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("code.py", "tasks/registry.yaml"):
        (tmp_path / "frod" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "frod" / name).write_text(name)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "both")
    tree = history.unpacked(git("rev-parse", "HEAD"), ["frod/tasks"], tmp_path)
    assert not (tree / "frod/code.py").exists()
    package = later_code.whole_package(tree)
    assert [(package / name).read_text() for name in ("code.py", "tasks/registry.yaml")] == [
        "code.py",
        "tasks/registry.yaml",
    ]


def test_the_code_that_audits_is_that_of_the_last_commit(tmp_path, monkeypatch):
    package = tmp_path / "frod"
    package.mkdir()
    for name in ("one.py", "two.py"):
        (package / name).write_bytes(b"said = 1\r\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(code, "PACKAGE_DIRECTORY", package)

    def notes():
        findings = Findings()
        later_code.check_here(findings)
        return findings.notes

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "both")
    py_compile.compile(str(package / "one.py"))
    assert notes() == []
    git("update-index", "--assume-unchanged", "frod/two.py")
    (package / "two.py").write_text("said = 2\n")
    (package / "three.py").touch()
    (note,) = notes()
    assert note.endswith(" than the checkout's last commit has: frod/three.py, frod/two.py")
    compiled = py_compile.compile(
        str(package / "one.py"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert notes()[1].endswith(f"compiled files whose source Python does not look at: {compiled}")
