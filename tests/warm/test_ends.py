"""However workflow, warm process or job ends, no process and no file of theirs stays behind, and the work is done."""

import os
import platform
import signal
import subprocess

import pytest
from small_jobs import DEADLINE, gone, until


@pytest.mark.parametrize("how", ["end", "kill"])
def test_the_warm_process_goes_with_the_workflow(fresh, how):
    fresh.start()
    assert fresh.is_warm() and fresh.leftovers()
    fresh.workflow.stdin.close() if how == "end" else fresh.workflow.kill()
    until(lambda: gone(fresh.process) and not fresh.leftovers())


def waiting_of_workflow(project, **options):
    """A job that knows to which workflow it belongs."""
    (project.folder / ".snakemake/frod-processes").mkdir(parents=True)
    name = f"{platform.node()}:{project.workflow.pid}:{project.folder}"
    return project.waiting(environment={"FROD_WORKFLOW": name}, **options)


def kill_workflow(project):
    project.workflow.kill()
    project.workflow.wait()


def test_work_of_a_killed_workflow_ends_by_itself_and_says_so(fresh):
    fresh.start()
    job, worker, below, how = waiting_of_workflow(fresh)
    kill_workflow(fresh)
    assert job.wait(DEADLINE) == -signal.SIGTERM and how == "warm"
    below.kill()
    assert "the workflow of this job was killed" in job.stdout.read()
    until(lambda: gone(worker) and gone(fresh.process) and not fresh.leftovers())


@pytest.mark.parametrize("warm", [True, False])
def test_work_of_a_killed_workflow_ends_also_where_it_cannot_say_so(fresh, warm):
    fresh.start()
    reading, writing = os.pipe()
    job, worker, below, how = waiting_of_workflow(fresh, warm=warm, stderr=writing)
    os.close(writing)
    os.close(reading)
    kill_workflow(fresh)
    assert job.wait(DEADLINE) == -signal.SIGTERM and how == ("warm" if warm else "cold")
    until(lambda: gone(worker))
    below.kill()


def test_a_job_whose_warm_process_is_killed_does_its_work_itself(fresh):
    fresh.start()
    job, worker, below, how = fresh.waiting()
    fresh.process.kill()
    assert how == "warm" and "has died, and this job with it; it starts again" in job.stdout.readline()
    itself, again, how = job.stdout.readline().split()
    assert (int(itself), how) == (job.pid, "cold") and gone(worker) and gone(below)
    job.terminate()
    assert job.wait(DEADLINE) == -signal.SIGTERM
    subprocess.run(["kill", again], check=True)
    assert fresh.said("state")[0].split()[2] == "cold"
    fresh.end()
    assert not fresh.leftovers()


def test_a_job_that_waits_for_the_imports_can_be_ended(fresh):
    fresh.edit(
        "frod/cli/main.py", "import numpy\n", "import time\nif sys.argv[1] == '--warm-process': time.sleep(600)\n"
    )
    fresh.start()
    job = fresh.job("state")
    until(lambda: job.net_connections("unix"))
    job.terminate()
    assert job.wait(DEADLINE) == -signal.SIGTERM
    fresh.workflow.stdin.close()
    until(lambda: gone(fresh.process) and not fresh.leftovers())
