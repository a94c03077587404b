"""Which workflows live in a folder, so that what a killed one has left can be told from another's work.

Snakemake's lock is a file: after a ``kill -9`` or a power loss it stays, and nothing says whether its owner lives. So
each workflow, and each job that it starts, also locks a file of its own in ``.snakemake``, by a lock of the operating
system, which goes however the process ends: a process whose file can be locked is dead.

A job whose workflow was killed ends, too (`end_with_workflow`): it would else go on next to its own repetition.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from frod.pipeline.metadata import Metadata

FOLDER = ".snakemake/frod-processes"  # files PROCESS@HOST, with one of these suffixes
CLUSTER, LOCAL, JOB = ".cluster", ".local", ".job"
VARIABLE = "FROD_WORKFLOW"  # HOST:PROCESS:FOLDER of the workflow that a job belongs to
LOOK_SECONDS = 0.5

_held: list[Any] = []  # locks that this process keeps until it ends


def enter(root: Path, *, local: bool) -> None:
    """Note that this process's workflow lives; remove the lock that a killed one has left.

    `local` jobs run on this machine, and so end with the workflow. On a cluster they live on: there the lock of a
    killed workflow stays, since only a person can tell whether its jobs have ended.
    """
    if _held:
        return
    from filelock import FileLock

    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "door"):  # one at a time
            others = sorted(folder.glob("*@*"))
            living = [path for path in others if not _is_dead(path)]
            left = Metadata(root).locked()
            own = _hold(folder, LOCAL if local else CLUSTER)
        workflows = [path for path in living if path.suffix != JOB]
        if workflows:
            named = ", ".join("process {} on {}".format(*path.stem.split("@")) for path in workflows)
            _say(f"another Snakemake works in this folder ({named}): wait for it, or work in a clone of your own")
        elif not left or _unlocked(root, others, jobs=living):
            for path in {*others} - {*living, own}:
                path.unlink(missing_ok=True)
    except OSError as error:  # no right to write here (a dry run may go on), or a file system without such locks
        _say(f"{folder}: {error.strerror}; whether another workflow works here cannot be told")
        return
    if local:
        os.environ[VARIABLE] = f"{platform.node()}:{os.getpid()}:{root.absolute()}"


def _hold(folder: Path, suffix: str) -> Path:
    from filelock import FileLock

    lock = FileLock(folder / f"{os.getpid()}@{platform.node()}{suffix}")
    lock.acquire(blocking=False)
    _held.append(lock)
    return Path(lock.lock_file)


def _is_dead(path: Path) -> bool:
    from filelock import FileLock, Timeout

    with contextlib.suppress(Timeout), FileLock(path, blocking=False):
        return True
    return False


def _unlocked(root: Path, known: list[Path], jobs: list[Path]) -> bool:
    """Remove the lock of a workflow that is known to be dead, when its jobs have ended; whether that could be done."""
    from filelock import FileLock

    kinds = {path.suffix for path in known}
    if CLUSTER in kinds or LOCAL not in kinds:
        _say(
            "a Snakemake was killed here and has left its lock. On a cluster its jobs may live on: see that they have "
            "ended, then `snakemake --unlock` and the same command again"
        )
        return False
    if jobs:
        _say("waiting for the jobs of a killed Snakemake to end")
    for job in jobs:
        with FileLock(job):
            pass
    Metadata(root).unlock()
    _say("a Snakemake was killed here; its lock is removed, and unfinished trainings go on from their checkpoints")
    return True


def end_with_workflow() -> None:
    """In a job: note that it lives, and end it when the workflow that has started it is no more."""
    host, _, rest = os.environ.get(VARIABLE, "").partition(":")
    process, _, root = rest.partition(":")
    if host != platform.node() or not Path(root, FOLDER).exists():
        return
    with contextlib.suppress(OSError):
        atexit.register(_hold(Path(root, FOLDER), JOB).unlink, missing_ok=True)
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
