"""Which workflows live in a folder, so that what a killed one has left can be told from another's work.

Snakemake's lock is a file: after a ``kill -9`` or a power loss it stays, and nothing says whether its owner lives. So
each workflow also holds a lock of the operating system on a file in ``.snakemake``, shared with other workflows, and
so do the jobs that it starts. However a process ends, the system lets go of its lock. Who can have the file alone
knows that nobody else lives, and that a lock of Snakemake's there is a dead one's.

A job whose workflow was killed ends, too (`end_with_workflow`): it would else go on beside its own repetition.
"""

import contextlib
import fcntl
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

from frod.provenance.metadata import Metadata

WORKFLOWS = ".snakemake/frod-workflows.lock"
JOBS = ".snakemake/frod-jobs.lock"
VARIABLE = "FROD_WORKFLOW"  # HOST:PROCESS:FOLDER of the workflow that a job belongs to
CLUSTER, LOCAL = "jobs on a cluster", "jobs on this machine"
LOOK_SECONDS = 0.5

_held: list[IO[str]] = []  # files whose locks this process keeps until it ends


def enter(root: Path, *, local: bool) -> None:
    """Note that this process's workflow lives; remove the lock that a killed one has left.

    Parameters
    ----------
    local
        Whether the jobs run on this machine, and so end with the workflow. On a cluster they live on: there the lock of
        a killed workflow stays, since only a person can tell whether its jobs have ended.
    """
    if _held:
        return
    try:
        (root / WORKFLOWS).parent.mkdir(exist_ok=True)
        file = (root / WORKFLOWS).open("a+", encoding="utf-8")
        alone = _alone(file)
    except OSError as error:  # no right to write here (a dry run may go on), or a file system without such locks
        _say(f"{root / WORKFLOWS}: {error.strerror}; whether another workflow works here cannot be told")
        return
    if not alone:
        _say(f"another Snakemake works in this folder ({_others(file)}): wait for it, or work in a clone of your own")
    elif _tidy(root, file):
        file.truncate(0)
    file.write(f"{platform.node()}:{os.getpid()}:{LOCAL if local else CLUSTER}\n")
    file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)
    _held.append(file)
    if local:
        os.environ[VARIABLE] = f"{platform.node()}:{os.getpid()}:{root.absolute()}"


def _alone(file: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _tidy(root: Path, file: IO[str]) -> bool:
    """Remove the lock of a workflow that is known to be dead, when its jobs have ended; whether there is none left."""
    if not Metadata(root).locked():
        return True
    file.seek(0)
    known = file.read().splitlines()
    if not known or any(line.endswith(CLUSTER) for line in known):
        _say(
            "a Snakemake was killed here and has left its lock. On a cluster its jobs may live on: see that they have "
            "ended, then `snakemake --unlock` and the same command again"
        )
        return False
    with (root / JOBS).open("a", encoding="utf-8") as jobs:
        if not _alone(jobs):
            _say("waiting for the jobs of a killed Snakemake to end")
            fcntl.flock(jobs, fcntl.LOCK_EX)
    Metadata(root).unlock()
    _say("a Snakemake was killed here; its lock is removed, and unfinished trainings go on from their checkpoints")
    return True


def _others(file: IO[str]) -> str:
    file.seek(0)
    found = [line.split(":")[:2] for line in file.read().splitlines()]
    living = [f"process {process} on {host}" for host, process in found if host != platform.node() or _lives(process)]
    return ", ".join(living)


def end_with_workflow() -> None:
    """In a job: note that it lives, and end it when the workflow that has started it is no more."""
    host, _, rest = os.environ.get(VARIABLE, "").partition(":")
    process, _, root = rest.partition(":")
    if host != platform.node() or not Path(root, WORKFLOWS).exists():
        return
    with contextlib.suppress(OSError):
        file = Path(root, JOBS).open("a", encoding="utf-8")  # noqa: SIM115 - kept until the process ends
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        _held.append(file)
    threading.Thread(target=_watch, args=(process,), daemon=True).start()


def _watch(process: str) -> None:
    while _lives(process):
        time.sleep(LOOK_SECONDS)
    try:
        _say("the workflow of this job was killed, so the job ends, too; the same command goes on from here")
    finally:  # also where its log cannot be written any more
        os.kill(os.getpid(), signal.SIGTERM)


def _lives(process: str) -> bool:
    import psutil

    try:
        return psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _say(text: str) -> None:
    print(f"frod: {text}", file=sys.stderr, flush=True)
