"""The workflow on a SLURM with accounting, asked of its jobs by either command; why a job has failed is told."""

import subprocess

import pytest
import slurm_project
from slurm_project import held_at_a_checkpoint, jobs, results, submit

pytestmark = pytest.mark.timeout(2400)

SACCT = ("--slurm-status-command", "sacct")


@pytest.fixture(scope="module")
def accounted(finished):
    """A project of which a suite has gone through SLURM to its report, by sacct and on an account that SLURM knows."""
    with slurm_project.slurm(accounting=True):
        for words in (["account", "lab"], ["user", "root", "account=lab"]):
            subprocess.run(["sacctmgr", "--immediate", "add", *words], check=True, capture_output=True)
        slurm_project.prepare(finished, "    rates: { full_ft: { lr: 1.0e-3, lr_head: 1.0e-3 } }\n")
        finished.edit("profiles/slurm/config.yaml", "slurm_account: null", "slurm_account: lab")
        finished.edit(
            "params.yaml", "gpu_slots: 2", "gpu_slots: 1"
        )  # of a group's job Snakemake does not tell the state
        finished.said = submit(finished, *SACCT)
        yield finished


def recorded():
    """Job, account and state of all jobs, as accounting has them."""
    asked = ["sacct", "--allocations", "--parsable2", "--noheader", "--format=JobIdRaw,Account,State"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return {job: (account, state) for job, account, state in (line.split("|") for line in lines)}


def test_the_suite_goes_through_sacct_to_its_report(accounted):
    assert accounted.path("reports/cut/index.html").exists()
    assert {*recorded().values()} == {("lab", "COMPLETED")}, accounted.said


@pytest.mark.parametrize(
    ("arguments", "stop", "state", "told"),
    [
        # Its time is over.
        (
            SACCT,
            ["scontrol", "update", "EndTime=now+1", "JobId={job}"],
            "TIMEOUT",
            "SLURM status is: 'TIMEOUT'. Reason",
        ),
        # Killed by something else than SLURM; asked by squeue, as the profile says.
        ((), ["scancel", "--signal=TERM", "--full", "{job}"], "FAILED", "SLURM status is: 'FAILED'"),
    ],
)
def test_a_job_that_failed_is_told_with_its_state_and_goes_on_from_its_checkpoint(
    accounted, tmp_path, arguments, stop, state, told
):
    before, undisturbed = int(jobs()[-1]["JobId"]), results(accounted)
    with held_at_a_checkpoint(accounted, tmp_path / "hold", *arguments) as (training, said):
        subprocess.run([word.format(job=training["JobId"]) for word in stop], check=True)
    assert told in said[0]
    ended = [job["JobId"] for job in jobs(before)]
    assert [recorded()[job] for job in ended] == [("lab", state), ("lab", "COMPLETED")], said
    assert results(accounted) == undisturbed
