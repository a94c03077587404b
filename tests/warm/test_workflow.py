"""A workflow has a warm process while its jobs run on this machine, and leaves neither process nor file behind."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from small_jobs import DEADLINE, gone, until

SNAKEFILE = """\
from frod.pipeline import metadata
from pathlib import Path

from frod.pipeline import running
from frod.pipeline.warm import start as warm
from frod.provenance.code import warn_of_edits

warm.FEWEST = 1
SETTINGS = []

{hook}

rule one:
    output: "said"
    shell: "python -m frod {command} > {{output}}"
"""


def write(project, command):
    text = (Path(__file__).parents[2] / "Snakefile").read_text()
    hook = text[text.index("onstart:") : text.index("onsuccess:")]
    (project.folder / "Snakefile").write_text(SNAKEFILE.format(hook=hook, command=command))


def said(project, *arguments):
    job = project.snakemake(*arguments)
    out, _ = job.communicate(timeout=DEADLINE)
    assert not project.leftovers()
    return job.returncode, out


def test_jobs_of_a_workflow_are_warm_but_not_on_a_cluster(fresh):
    write(fresh, "state")
    assert said(fresh)[0] == 0 and (fresh.folder / "said").read_text().endswith("warm\n")
    (fresh.folder / "said").unlink()
    cluster = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", "sh", "--jobs", "1"]
    assert said(fresh, *cluster, "--seconds-between-status-checks", "1")[0] == 0 and (
        fresh.folder / "said"
    ).read_text().endswith("cold\n")


def test_a_workflow_that_does_nothing_starts_none(fresh):
    """It would say so: the warm process is one that cannot start."""
    write(fresh, "state")
    imports = fresh.folder / "frod/pipeline/warm/imports.py"
    imports.write_text(f"raise SystemExit('started')\n{imports.read_text()}".replace("from __future__", "# from"))
    assert "started" not in said(fresh, "--cores", "1", "--dry-run")[1]
    assert "started" in said(fresh)[1] and (fresh.folder / "said").read_text().endswith("cold\n")
    nothing = said(fresh)[1]
    assert "Nothing to be done" in nothing and "started" not in nothing


def test_a_workflow_that_fails(fresh):
    write(fresh, "exit 3")
    code, out = said(fresh)
    assert code == 1 and "exit code 3" in out.replace("exit status", "exit code")


@pytest.mark.parametrize("how", ["Ctrl-C", "kill -9", "SIGTERM"])
def test_a_workflow_that_is_ended(fresh, how):
    write(fresh, "wait")
    (fresh.folder / ".snakemake/frod-processes").mkdir(parents=True)
    text = (fresh.folder / "Snakefile").read_text()
    lives = 'import os, platform\nos.environ["FROD_WORKFLOW"] = f"{platform.node()}:{os.getpid()}:{os.getcwd()}"\n'
    (fresh.folder / "Snakefile").write_text(lives + text)
    workflow = fresh.snakemake()
    output = fresh.folder / "said"
    until(lambda: output.exists() and output.read_text().endswith("\n"))
    worker, below, how_carried_out = output.read_text().split()
    process = next(one for one in workflow.children() if "--warm-process" in one.cmdline())
    assert how_carried_out == "warm" and psutil.Process(int(worker)).ppid() == process.pid
    if how == "Ctrl-C":
        os.killpg(workflow.pid, signal.SIGINT)
    else:
        workflow.send_signal(signal.SIGKILL if how == "kill -9" else signal.SIGTERM)
        if how == "SIGTERM":
            psutil.Process(int(worker)).terminate()  # Snakemake waits for its jobs
    workflow.wait(DEADLINE)
    until(lambda: gone(process) and not psutil.pid_exists(int(worker)) and not fresh.leftovers())
    psutil.Process(int(below)).kill()
