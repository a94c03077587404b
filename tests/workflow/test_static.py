"""The workflow's own files: they lint, plan, and agree with what they are generated from."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alterations import kept
from projects import checkout

from frod.cli.schema import schemas

ROOT = Path(__file__).parents[2]


def test_lint(fresh):
    fresh.snakemake("--lint")


@pytest.mark.parametrize(("name", "text"), schemas().items())
def test_the_schemas_are_those_of_the_code(name, text):
    """`make schema` writes them again."""
    assert (ROOT / "workflow" / "schemas" / name).read_text() == text


def test_a_rule_its_command_and_its_function_share_a_name():
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"^(?:rule|use rule \w+ as) (\w+)", text, re.M))
    assert {"train", "trial"} <= rules
    for rule in rules:
        module = ROOT / "frod" / "cli" / f"{rule}.py"
        assert re.search(rf"^def {rule}\(", module.read_text(), re.M), module


def test_a_fresh_clone_plans_every_run(fresh):
    said = fresh.snakemake("-n", "--quiet", "rules", "--forceall")
    assert re.search(r"train\s+24\b", said)


@pytest.mark.parametrize(("protocol", "trials"), [("audited", 24 * 8 * 16), ("released", None)])
def test_the_paper_s_suite_plans_every_run_in_seconds(fresh, protocol, trials):
    """24 tasks, 8 methods, 5 seeds; about 25 seconds of a processor, whatever else the machine does."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--config", "suite=paper"]
    began = os.times()
    done = subprocess.run(
        [*command, f"protocol={protocol}"], cwd=fresh.folder, capture_output=True, text=True, check=False
    )
    ended = os.times()
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, re.M))
    assert (jobs["train"], jobs.get("trial")) == (str(24 * 8 * 5), str(trials) if trials else None)
    assert (jobs["task"], jobs["basis"]) == ("24", "3")
    assert ended.children_user + ended.children_system - began.children_user - began.children_system < 60


def test_a_mistake_is_said_of_the_option_or_the_file_that_makes_it(fresh):
    fresh.path("mine.yaml").write_text("training: { warmup: 2 }\n")
    options = ("-n", "--quiet", "--configfile", "mine.yaml", "--config", "training={epochs: true}")
    said = fresh.run("snakemake", "--cores", "1", *options, check=False).stdout
    assert "--config: training.epochs: Input should be a valid number, is True" in said
    assert "mine.yaml: training.warmup: " in said and "params.yaml: " not in said
    said = fresh.run(
        "snakemake", "--cores", "1", "-n", "--quiet", "--config", "training={epochs: 1:30}", check=False
    ).stdout
    assert "--config: '1:30' means one thing in YAML 1.1" in said
    fresh.snakemake("-n", "--quiet", "--config", "training={epochs: 0.5, max_train: 10, clip: null}")
    fresh.path("mine.yaml").write_text("training: { epochs: 1:30 }\n")
    said = fresh.run("snakemake", "--cores", "1", "--configfile", "mine.yaml", check=False).stdout
    assert "mine.yaml: line 1: '1:30' means one thing in YAML 1.1" in said and "Traceback" not in said


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh checkout for tests that put back what they alter."""
    top = tmp_path_factory.mktemp("clone")
    return checkout(top / "project", top / "cache")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("params.yaml", "  epochs: 3", "  epoch: 3", "params.yaml: training.epoch: unknown key; did you mean 'epochs'"),
        ("params.yaml", "suite: smoke", "suite: smok", "did you mean 'smoke'"),
        ("workflow/suites/smoke.yaml", "tasks: [sums]", "tasks: [sum]", "'sum' is not registered"),
        ("workflow/suites/smoke.yaml", "seeds: [0, 1]", "seeds: [0, 0]", "repeats a seed"),
    ],
)
def test_a_mistake_is_named_before_any_job_starts(clone, name, old, new, message):
    with kept(clone.folder, name):
        clone.edit(name, old, new)
        done = clone.run("snakemake", "--cores", "1", check=False)
    assert done.returncode != 0
    assert message in done.stdout and "Traceback" not in done.stdout
    assert not clone.path("data/models").exists()
