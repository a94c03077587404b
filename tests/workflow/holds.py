"""Processes that tests find at a known point of their work, and not ended already because the machine was busy."""

import fcntl
import json
import os
import time
from pathlib import Path

import psutil


class Hold:
    """A point at which a process waits: from when `wait` returns until `release`, or until something ends it.

    Parameters
    ----------
    folder
        An empty one, for this hold alone.
    event, pattern
        An event of Python's, and what its arguments have in them: https://docs.python.org/3/library/audit_events.html
    after
        How many of these events come before it.
    """

    def __init__(self, folder: Path, event: str, pattern: str, after: int = 0) -> None:
        folder.mkdir()
        self.folder, self.told = folder, json.dumps([str(folder), event, pattern, after])
        self.lock = (folder / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    @classmethod
    def of_training(cls, folder: Path, checkpoints: int) -> "Hold":
        """Hold a training that has saved so many checkpoints, before it writes the next."""
        return cls(folder, "tempfile.mkstemp", r"(seed-0|tune)/\.tmp-[^/]*\.pt'", checkpoints)

    def environment(self, around: dict[str, str]) -> dict[str, str]:
        """The environment of processes of which one will be held; trainings save after every step."""
        modules = [str(Path(__file__).parent / "held"), *filter(None, [around.get("PYTHONPATH")])]
        return around | {
            "HELD": self.told,
            "PYTHONPATH": os.pathsep.join(modules),
            "FROD_CHECKPOINT_SECONDS": "0.000001",
        }

    def wait(self, started) -> psutil.Process:
        """Wait until a process is held; it is one that the `started` process has started, or that one."""
        while not (self.folder / "number").exists():
            assert started.poll() is None, "it has ended, and was not held"
            time.sleep(0.02)
        return psutil.Process(int((self.folder / "number").read_text()))

    def release(self) -> None:
        """Let it go on."""
        self.lock.close()
