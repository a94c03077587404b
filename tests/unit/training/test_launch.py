"""The launcher: its processes end with it however it ends, and it ends with the first of them that fails."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from process_ends import SECONDS, wait_until_gone

from frod.training import launch

IN_TWO = """
import os, signal, sys
from frod.training import launch
# Whoever runs the tests in the background of a script hands down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
if not launch.is_worker():
    try:
        launch.torchrun([sys.executable, __file__], 2, 2)
    except ChildProcessError as error:
        sys.exit(f"error: {error}")
    sys.exit()
launch.start(2, 2)
rank = os.environ["RANK"]
"""
SLEEP = "os.write(1, b'up\\n'); signal.pause()"


@pytest.fixture
def in_two(tmp_path):
    """Start some code in two processes."""

    def start(code):
        script = tmp_path / "script.py"
        script.write_text(IN_TWO + code)
        return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_launcher(in_two, ending):
    with in_two(SLEEP) as launcher:
        assert [launcher.stdout.readline() for _ in range(2)] == ["up\n", "up\n"]
        workers = psutil.Process(launcher.pid).children()
        assert len(workers) == 2
        launcher.send_signal(ending)
        wait_until_gone(workers)
        assert launcher.wait(SECONDS) == -ending


def test_a_worker_whose_launcher_is_gone_already_ends(tmp_path):
    """Killed while its workers start, it is not their parent any more when they look for it."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    code = "import signal; from frod.training import launch; launch.start(2, 2); signal.pause()"
    environment = os.environ | {launch.LAUNCHER: str(dead.pid), "RANK": "0"}
    worker = subprocess.run([sys.executable, "-c", code], env=environment, timeout=SECONDS, check=False)
    assert worker.returncode == -signal.SIGKILL


def ends(launcher):
    """Exit status, what was printed, and the last line of errors, of a command that ends by itself."""
    said, errors = launcher.communicate(timeout=SECONDS)
    return launcher.returncode, said, errors


def test_the_first_to_fail_ends_all_and_is_quoted(in_two):
    """The other would wait for ever."""
    status, _, errors = ends(in_two("sys.exit('the basis is broken') if rank == '1' else signal.pause()"))
    assert status == 1
    assert "the basis is broken\n" in errors
    assert errors.endswith("\nerror: process 1 of 2 ended with status 1\n")


def test_a_process_that_was_killed_is_named(in_two):
    _, _, errors = ends(in_two("os.kill(os.getpid(), 9) if rank == '1' else signal.pause()"))
    assert errors.endswith("\nerror: process 1 of 2 was killed by signal 9\n")


def test_only_the_first_process_prints_and_threads_are_shared_out(in_two):
    code = "print('this is', rank, 'of', os.environ['WORLD_SIZE'], 'on', os.environ['OMP_NUM_THREADS'])"
    assert ends(in_two(code))[:2] == (0, "this is 0 of 2 on 1\n")


def test_one_process_is_this_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # nothing is chosen for the test's own process
    assert launch.start(1, 1) is False
    assert not launch.is_worker()


SLURM = {
    "SLURM_JOB_ID": "12345",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_LAUNCH_NODE_IPADDR": "10.1.2.3",
    "SLURM_NODEID": "1",
}
MACHINES = {"MASTER_ADDR": "node-a", "MASTER_PORT": "4000", "NODE_RANK": "0"}
MEETINGS = {
    "slurm": (SLURM, ["10.1.2.3:22345", "is_host=0"]),
    "machines": (MACHINES, ["node-a:4000", "is_host=1"]),
    "machines in a SLURM job": (SLURM | MACHINES, ["node-a:4000", "is_host=1"]),
    "no rank": ({"MASTER_ADDR": "node-a"}, ["node-a:29400"]),
}


@pytest.mark.parametrize("case", MEETINGS)
def test_machines_meet_where_the_environment_says(monkeypatch, tmp_path, case):
    given, expected = MEETINGS[case]
    for name in SLURM | MACHINES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    backend, name, *words = launch.meeting(2, tmp_path)
    assert (backend, name) == ("--rdzv-backend=c10d", "--rdzv-id=frod")
    assert [word.partition("=")[2] for word in words] == expected


@pytest.mark.parametrize("given", [{}, SLURM | {"SLURM_STEP_NUM_NODES": "1"}])
def test_machines_that_cannot_meet_are_told_how(monkeypatch, tmp_path, given):
    """Also in a SLURM job whose srun was called for one machine: the other would never come."""
    for name in SLURM | MACHINES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="--nodes 2: nothing says where they meet; call this by `srun --nodes=2"):
        launch.meeting(2, tmp_path)


def test_processes_that_nodes_cannot_share_are_refused():
    with pytest.raises(ValueError, match="--processes 3: each of 2 nodes takes as many; give a multiple of 2"):
        launch.start(3, 3, nodes=2)
