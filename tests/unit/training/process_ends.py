"""Waiting for processes that are no children of the test's own to end."""

import time

import psutil

SECONDS = 300  # on a machine that is busy


def wait_until_gone(processes):
    """Wait until all have ended; where nobody collects what a killed parent leaves, they stay on as zombies."""
    end = time.monotonic() + SECONDS
    while alive := [process for process in processes if not gone(process)]:
        assert time.monotonic() < end, f"still alive: {alive}"
        time.sleep(0.05)


def gone(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
