"""What a suite says otherwise is named field by field; what changes no run, figure or word is no change."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from by_hand import SUITE, write_suite

from frod.config import load
from frod.reporting import changes
from frod.reporting.changes import Change

EXPERIMENT = SUITE["experiments"][0]
TASK = {"title": "Mine", "licence": "MIT"}


def workflow(folder, params=None, **suite):
    write_suite("one", folder, **suite)
    return load({"suite": "one"} | (params or {}), folder)


def changed(tmp_path, then, now):
    return changes.changes(workflow(tmp_path / "a", **then), workflow(tmp_path / "b", **now))


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({}, {"margin": 20}, [("margin", 1.0, 20.0)]),
        ({}, {"seeds": [0, 1]}, [("seeds", [0], [0, 1])]),
        ({}, {"params": {"numerics": "native"}}, [("params.numerics", "portable", "native")]),
        ({}, {"params": {"training": {"warmup": 0.5}}}, [("params.training.warmup", 0.1, 0.5)]),
        ({"margin": 1}, {"margin": 1.0}, []),
        ({}, {"params": {"training": {"epochs": 9}}, "training": {"epochs": 3}}, []),  # the runs are the same
        ({}, {"resources": {"runtime": 9}, "params": {"cluster": {"gpu_slots": 2}, "basis": {"parts": 2}}}, []),
        ({"tasks": {"mine": TASK}}, {"tasks": {}}, []),  # which no run uses
    ],
)
def test_what_changes_a_figure_or_a_verdict_is_named(tmp_path, then, now, expected):
    found = changed(tmp_path, then, now)
    assert found == [Change(*one) for one in expected]
    assert not any(one.is_wording for one in found)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({}, {"title": "Two"}, ("title", "One", "Two")),
        ({}, {"cannot_show": ["x"]}, ("cannot_show", [], ["x"])),
        ({}, {"methods": {"full_ft": {"label": "all"}}}, ("methods.full_ft.label", "full fine-tuning", "all")),
        ({"seeds": [0, 1]}, {"seeds": [1, 0]}, ("order of seeds", [0, 1], [1, 0])),
        (
            {"tasks": {"mine": TASK}, "experiments": [EXPERIMENT | {"tasks": ["mine"]}]},
            {"tasks": {"mine": TASK | {"licence": "none"}}, "experiments": [EXPERIMENT | {"tasks": ["mine"]}]},
            ("tasks.mine.licence", "MIT", "none"),
        ),
    ],
)
def test_words_are_told_apart(tmp_path, then, now, expected):
    (found,) = changed(tmp_path, then, now)
    assert found == expected and found.is_wording


def test_an_included_suite_that_plans_otherwise_is_seen(tmp_path):
    both = []
    for rate in (0.1, 0.2):
        rates = {"full_ft": {"lr": rate, "lr_head": 0.1}}
        write_suite("other", tmp_path / str(rate), experiments=[EXPERIMENT | {"rates": rates}])
        both.append(workflow(tmp_path / str(rate), include=["other"], experiments=[]))
    assert changes.changes(*both) == [("plan.one/digits/digit_vit/full_ft/seed-0.rates.lr", 0.1, 0.2)]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout with a suite; what is returned runs git there."""
    monkeypatch.chdir(tmp_path)

    def git(*arguments):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *author, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    write_suite("one")
    Path("params.yaml").write_text(yaml.safe_dump({"suite": "smoke"}))
    git("add", "-A")
    git("commit", "-qm", "one")
    return git


def records(commit, edited=False):
    """A first run of that commit, and a later one of another."""
    return {
        "second": {"started": "2024-05-01T13", "code": {"git_commit": "1" * 40, "git_dirty": False}},
        "first": {"started": "2024-05-01T12", "code": {"git_commit": commit, "git_dirty": edited}},
    }


def test_what_was_changed_since_the_first_run_is_told_by_its_commit(repository):
    commit = repository("rev-parse", "HEAD")
    write_suite("one", margin=20)
    found = changes.since_first_run(records(commit), load({"suite": "one"}))
    assert found == {"commit": commit, "changes": [{"field": "margin", "then": 1.0, "now": 20.0}]}


def test_a_default_that_was_another_is_a_change(repository):
    schema = Path(changes.SCHEMA)
    schema.parent.mkdir()
    schema.write_text(json.dumps({"properties": {"margin": {"default": 5.0}, "title": {}}}))
    methods = Path(changes.METHODS)
    methods.parent.mkdir(parents=True)
    methods.write_text("full_ft: {kind: full_ft, label: all}")
    repository("add", "-A")
    repository("commit", "-qm", "another default")
    found = changes.since_first_run(records(repository("rev-parse", "HEAD")), load({"suite": "one"}))
    label = {"field": "methods.full_ft.label", "then": "all", "now": "full fine-tuning"}
    assert found["changes"] == [{"field": "margin", "then": 5.0, "now": 1.0}, label]


def test_what_git_cannot_tell_is_said(repository, tmp_path_factory):
    commit = repository("rev-parse", "HEAD")

    def unknown(of, suite="one"):
        return changes.since_first_run(of, load({"suite": suite}))["unknown"]

    assert unknown(records(None)) == "the first run was made outside of git"
    assert unknown(records("2" * 40)) == "there is no commit 222222222222 here, of which the first run is"
    assert "made with files that commit" in unknown(records(commit, edited=True))
    write_suite("two")
    assert unknown(records(commit), "two").endswith("does not have the suite")
    outside = tmp_path_factory.mktemp("elsewhere")
    write_suite("mine", outside)
    assert unknown(records(commit), f"{outside}/workflow/suites/mine.yaml").endswith("does not have the suite")
    write_suite("one", margin="wide")
    repository("commit", "-qam", "broken")
    broken = repository("rev-parse", "HEAD")
    write_suite("one")
    assert "cannot be read here (workflow/suites/one.yaml: margin: " in unknown(records(broken))
