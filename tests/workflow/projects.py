"""Projects for tests: the repository's files, fresh or with a suite small enough to run whole that has done so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
TINY = """\
title: Tiny
description: One task, three methods, one seed.
rates_chosen: by hand, for tests
seeds: [0]
training: { epochs: 1, batch_size: 32, max_train: 320 }
methods:
  full_ft: { kind: full_ft }
  frod: { kind: frod, sparse_rate: 0.02 }
  linear_probe: { kind: linear_probe }
experiments:
  - tasks: [digits]
    backbone: digit_vit
    rates:
      full_ft: { lr: 1.0e-3, lr_head: 1.0e-3 }
      frod: { lr_scale: 1.0e-2, lr_rotation: 5.0e-3, lr_head: 1.0e-3 }
      linear_probe: { lr_head: 1.0e-2 }
    grid:
      full_ft: [{ lr: 1.0e-3, lr_head: 1.0e-3 }, { lr: 1.0e-6, lr_head: 1.0e-6 }]
      frod:
        - { lr_scale: 1.0e-6, lr_rotation: 1.0e-6, lr_head: 1.0e-6 }
        - { lr_scale: 1.0e-2, lr_rotation: 6.0e-3, lr_head: 1.0e-3 }
      linear_probe: [{ lr_head: 2.0e-2 }, { lr_head: 1.0e-6 }]
"""
# Snakemake takes whole seconds for this, and the plugin for SLURM counts up from them: 20, 30, 40, ...
OFTEN = """

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 0.25, lambda self, seconds: None)
"""


class Project:
    """A checkout, and the commands that a user would type in it."""

    def __init__(self, folder, cache):
        self.folder, self.cache = folder, cache

    def environment(self, **extra):
        # Byte code is kept: each job would else compile the project's own modules.
        dropped = ("FROD_", "MLFLOW_", "DVC_", "GIT_", "SNAKEMAKE_", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        kept |= {"FROD_CACHE": str(self.cache), "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}
        return kept | {"GIT_CONFIG_GLOBAL": "/dev/null"} | extra

    def run(self, *command, check=True, **environment):
        """Run a command; its output, and on a failure all of it in the message."""
        done = forks.run([*map(str, command)], self.folder, self.environment(**environment), own=environment)
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}"
        return done

    def snakemake(self, *arguments, **environment):
        return self.run("snakemake", "--cores", "2", *arguments, **environment).stdout

    def git(self, *arguments):
        author = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        return self.run("git", *author, *arguments).stdout

    def start(self):
        """Make it a repository with one commit."""
        self.git("init", "--quiet")
        self.commit("start")

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def frod(self, *arguments, **options):
        """The exit status of one of our commands, and all it prints."""
        done = self.run("python", "-m", "frod", *arguments, check=False, **options)
        return done.returncode, done.stdout

    def training(self, run):
        """Arguments of the `frod train` that made a run, but for --out."""
        record = json.loads(self.path(f"{run}/record.json").read_text())
        options, found = {"models": "--backbone", "tasks": "--task", "bases": "--basis"}, []
        for name in record["inputs"]:
            is_rates = name.endswith("rates.json")
            found += ["--rates", name] if is_rates else [options[name.split("/")[1]], name.rpartition("/")[0]]
        spec = record["spec"] | ({"rates": None} if "--rates" in found else {})  # which the file of rates fills
        return ["--spec", json.dumps(spec), *found]

    def path(self, name):
        return self.folder / name

    def edit(self, name, old, new):
        text = self.path(name).read_text()
        assert old in text, f"{name} has no {old!r}"
        self.path(name).write_text(text.replace(old, new))

    def ask_often(self):
        """Have Snakemake ask four times a second for the jobs it has submitted, which here take but a few seconds."""
        self.path("Snakefile").write_text(self.path("Snakefile").read_text() + OFTEN)


def checkout(folder, cache, suite=None):
    """What git tracks or would track, without reports, in which nothing has run; with a suite called tiny to run."""
    listing = ["git", "ls-files", "-co", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        if (ROOT / name).is_file() and not name.startswith("reports/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    project = Project(folder, cache)
    if suite:
        project.path("workflow/suites/tiny.yaml").write_text(suite)
        project.edit("params.yaml", "suite: smoke", "suite: tiny")
    return project


@pytest.fixture
def fresh(tmp_path):
    """A fresh checkout with an empty cache."""
    return checkout(tmp_path / "project", tmp_path / "cache")


@pytest.fixture(scope="session")
def original(tmp_path_factory, worker_id):
    """A project in which the tiny suite has run to its report: once for all test processes, and never altered."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    project, said = Project(shared / "original", shared / "original-cache"), shared / "original.txt"
    with FileLock(shared / "original.lock"):
        if not said.exists():
            checkout(project.folder, project.cache, TINY).start()
            said.write_text(project.snakemake())
    project.first_output = said.read_text()
    return project


@pytest.fixture(scope="module")
def finished(original, tmp_path_factory):
    """A copy of the finished project, the test module's own; times are kept, as Snakemake judges by them."""
    top = tmp_path_factory.mktemp("project")
    project = Project(top / "project", top / "cache")
    shutil.copytree(original.folder, project.folder, symlinks=True)
    shutil.copytree(original.cache, project.cache, symlinks=True)
    project.first_output = original.first_output
    return project


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    """The finished project with a second seed, logged to MLflow."""
    import many_runs

    folder = tmp_path_factory.mktemp("audited") / "project"
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns(".snakemake", "mlflow.db*", "__pycache__"))
    many_runs.finish(folder, many_runs.multiply(folder, tasks=1, seeds=2), track=True)
    subprocess.run(["git", "gc", "--quiet"], cwd=folder, check=True)  # few files, as what alters it copies all
    return folder


@pytest.fixture
def alone(monkeypatch):
    """Nothing of the user's own settings decides where MLflow or a mirror is."""
    for name in ("MLFLOW_TRACKING_URI", "FROD_TRACKING", "FROD_MIRROR"):
        monkeypatch.delenv(name, raising=False)
