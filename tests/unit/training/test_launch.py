"""The launcher: its processes end with it however it ends, and it ends with the first of them that fails."""

import signal
import subprocess
import sys

import psutil
import pytest
from process_ends import SECONDS, wait_until_gone

from frod.training import launch

SLEEPERS = """
import signal, sys
from frod.training import launch
# Whoever runs the tests in the background of a script hands down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
if launch.is_worker():
    launch.start(2, 2)
    print("up", flush=True)
    signal.pause()
launch.look_after([sys.executable, __file__], 2, 2)
"""


def in_two(code):
    launch.look_after([sys.executable, "-c", f"import os, signal, sys; rank = os.environ['RANK']; {code}"], 2, 2)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_launcher(tmp_path, ending):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as launcher:
        assert launcher.stdout.readline() == b"up\n"
        workers = psutil.Process(launcher.pid).children()
        assert len(workers) == 2
        launcher.send_signal(ending)
        wait_until_gone(workers)
        assert launcher.wait(SECONDS) != 0


def test_the_first_to_fail_ends_all_and_is_quoted():
    """The other would wait for ever."""
    with pytest.raises(ChildProcessError, match=r"^process 1 of 2 ended with status 1:\n  the basis is broken$"):
        in_two("sys.exit('the basis is broken') if rank == '1' else signal.pause()")


def test_a_process_that_was_killed_is_named():
    with pytest.raises(ChildProcessError, match=r"^process 1 of 2 was killed by signal 9$"):
        in_two("os.kill(os.getpid(), 9) if rank == '1' else signal.pause()")


def test_only_the_first_process_prints(capfd):
    in_two("print('this is', rank)")
    assert capfd.readouterr().out == "this is 0\n"


def test_threads_are_shared_out(capfd):
    in_two("print(os.environ['OMP_NUM_THREADS'], os.environ['WORLD_SIZE'])")
    assert capfd.readouterr().out == "1 2\n"


def test_one_process_is_this_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # nothing is chosen for the test's own process
    assert launch.start(1, 1) is False
    assert not launch.is_worker()
