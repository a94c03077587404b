"""Disks that are full and folders that are closed, also for root, whom permissions alone do not stop."""

import contextlib
import os
import resource
import shutil
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """A file system of so many megabytes in memory; yields None where none may be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = os.getuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full_disk(folder, megabytes):
    """A small disk; where none may be mounted, a limit on each file's size in its place."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with small_disk(folder, megabytes) as mounted:
        if mounted is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, before[1]))
        try:
            yield folder
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def without_rights(command):
    """The command for a process that permissions hold for: root gives up its power to pass over them."""
    if os.getuid() != 0:
        return command
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if not shutil.which("setpriv") or subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root, and setpriv (util-linux) cannot take its power over permissions from it")
    return [*drop, *command]
