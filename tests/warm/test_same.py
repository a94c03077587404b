"""A job that the warm process carries out prints, ends and can be ended exactly as one that does its work itself."""

import contextlib
import os
import signal
import subprocess

import psutil
import pytest
from small_jobs import DEADLINE, gone, until


@pytest.mark.parametrize("command", ["report", "unflushed", "exit none", "exit 0", "exit 3", "exit text", "raise"])
def test_the_same_bytes_in_the_same_order_and_the_same_status(warm, tmp_path, command):
    given, found = tmp_path / "given", []
    given.write_text("what it reads")
    for how in (True, False):
        with (tmp_path / "log").open("w") as log, given.open() as reading:
            job = warm.job(*command.split(), "--word=ä", warm=how, stdout=log, stdin=reading)
            found.append((job.wait(DEADLINE), (tmp_path / "log").read_bytes()))
    assert found[0] == found[1]
    assert found[0][1] or command.startswith("exit")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_ends_job_and_work_as_it_would_the_job_alone(warm, name):
    number = getattr(signal, name)
    ends = []
    for how in (True, False):
        job, worker, below, said = warm.waiting(warm=how)
        assert said == ("warm" if how else "cold") and (worker.pid != job.pid) == how
        job.send_signal(number)
        ends.append((job.wait(DEADLINE), "KeyboardInterrupt" in _rest(job, below)))
        until(lambda worker=worker: gone(worker))
    assert ends[0] == ends[1] == (-number, name == "SIGINT")


def _rest(job, below):
    """What a job printed until its end; the process that it started holds the pipe, too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        below.kill()
    return job.stdout.read()


def test_a_signal_that_the_work_handles_reaches_it_once(warm):
    job, _, below, said = warm.waiting("SIGUSR1", "SIGHUP")
    job.send_signal(signal.SIGUSR1)
    assert said == "warm" and job.stdout.readline() == f"got {int(signal.SIGUSR1)}\n"
    job.send_signal(signal.SIGHUP)
    assert job.stdout.readline() == f"got {int(signal.SIGHUP)}\n"
    job.terminate()
    assert job.wait(DEADLINE) == -signal.SIGTERM and _rest(job, below) == ""


def test_a_stop_from_the_keyboard_stops_the_work_until_it_is_continued(warm):
    job, worker, below, _ = warm.waiting()
    job.send_signal(signal.SIGTSTP)
    until(lambda: worker.status() == "stopped" and job.status() == "stopped")
    job.send_signal(signal.SIGCONT)
    until(lambda: "stopped" not in (worker.status(), job.status()))
    job.terminate()
    assert job.wait(DEADLINE) == -signal.SIGTERM
    below.kill()


def test_ctrl_c_reaches_the_work_through_the_jobs_of_the_terminal(warm):
    """It goes to the group of the processes in the foreground, to which the warm one does not belong."""
    job, worker, below, _ = warm.waiting(start_new_session=True)
    os.killpg(job.pid, signal.SIGINT)
    assert job.wait(DEADLINE) == -signal.SIGINT
    until(lambda: gone(worker))
    assert "KeyboardInterrupt" in _rest(job, below) and warm.is_warm()
    assert os.getsid(warm.process.pid) != os.getsid(warm.workflow.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_job_whose_work_a_signal_ends_ends_by_it(warm, number):
    assert [warm.said("end", str(int(number)), warm=how)[1] for how in (True, False)] == [-number, -number]


def test_kill_9_of_a_job_ends_its_work_and_what_that_has_started(warm):
    job, worker, below, _ = warm.waiting()
    job.kill()
    until(lambda: gone(worker) and gone(below))
    assert warm.is_warm()


def test_each_job_has_random_numbers_of_its_own(warm):
    numbers = "".join(warm.said("random")[0] for _ in range(2)).split()
    assert len(set(numbers)) == 4


def test_jobs_side_by_side_do_not_wait_for_one_another(warm):
    job, worker, _, _ = warm.waiting()
    assert warm.is_warm()
    job.kill()
    until(lambda: gone(worker))


def test_a_log_that_nobody_reads_any_more_ends_the_job_as_ever(warm):
    ends = []
    for how in (True, False):
        reading, writing = os.pipe()
        os.close(reading)
        job = warm.job("report", warm=how, stdout=writing, stderr=subprocess.DEVNULL)
        os.close(writing)
        ends.append(job.wait(DEADLINE))
    assert ends[0] == ends[1] != 0
