"""A lock is a dead workflow's only if no living one can hold it; jobs do not outlive their workflow."""

import os
import signal
import subprocess
import sys

import pytest

from frod.pipeline import metadata, workflows

# A workflow: enters, starts a job that tells its number if asked to, and waits to be killed.
WORKFLOW = """
import signal, subprocess, sys
from pathlib import Path
from frod.pipeline import workflows
workflows.enter(Path.cwd(), local={local})
Path(".snakemake/locks").mkdir(exist_ok=True)
Path(".snakemake/locks/0.output.lock").touch()
print("here", flush=True)
if {job}:
    job = subprocess.Popen([sys.executable, "-c", {sleeper!r}])
signal.pause()
"""
JOB = """
import os, signal
from frod.pipeline import workflows
workflows.end_with_workflow()
print(os.getpid(), flush=True)
signal.pause()
"""
ENTER = "from pathlib import Path; from frod.pipeline import workflows; workflows.enter(Path.cwd(), local=True)"


@pytest.fixture
def start(tmp_path):
    """Start a workflow in a process of its own; it is killed at the end."""
    started = []

    def begin(*, local=True, job=False):
        text = WORKFLOW.format(local=local, job=job, sleeper=JOB)
        process = subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "here\n"
        return process

    yield begin
    for process in started:
        end(process)


def end(process):
    process.kill()
    process.wait()


def enter(folder):
    """What a workflow that starts now says."""
    command = [sys.executable, "-c", ENTER]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stderr


def locked(folder):
    return metadata.Metadata(folder).locked()


def test_a_living_workflows_lock_stays_and_a_killed_ones_goes(tmp_path, start):
    one = start()
    said = enter(tmp_path)
    assert f"another Snakemake works in this folder (process {one.pid} on" in said and locked(tmp_path)
    end(one)
    assert "a Snakemake was killed here" in enter(tmp_path) and not locked(tmp_path)
    assert enter(tmp_path) == ""


def test_of_two_the_last_counts(tmp_path, start):
    one, two = start(), start()
    end(one)
    said = enter(tmp_path)
    assert f"(process {two.pid} on" in said and str(one.pid) not in said and locked(tmp_path)


def test_the_jobs_of_a_cluster_may_live_on(tmp_path, start):
    """Also if a workflow on this machine, a dry run say, looks in between."""
    one = start(local=False)
    end(one)
    for _ in range(2):
        assert "snakemake --unlock" in enter(tmp_path) and locked(tmp_path)


def test_a_lock_from_before_there_were_such_notes_is_left_to_a_person(tmp_path):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    assert "snakemake --unlock" in enter(tmp_path) and locked(tmp_path)


def test_a_job_ends_with_its_workflow_and_the_next_one_waits_for_it(tmp_path, start):
    one = start(job=True)
    job = int(one.stdout.readline())
    os.kill(job, signal.SIGSTOP)  # it cannot end yet
    end(one)
    command = [sys.executable, "-c", ENTER]
    following = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert "waiting for the jobs of a killed Snakemake" in following.stderr.readline()
    assert locked(tmp_path) and following.poll() is None
    os.kill(job, signal.SIGCONT)
    assert following.wait() == 0 and not locked(tmp_path)


def test_a_command_by_hand_belongs_to_no_workflow(monkeypatch):
    monkeypatch.delenv(workflows.VARIABLE, raising=False)
    workflows.end_with_workflow()
    monkeypatch.setenv(workflows.VARIABLE, "another-host:1:/")  # a job on a node of a cluster
    workflows.end_with_workflow()
    assert not workflows._held
