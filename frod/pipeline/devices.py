"""Which GPUs a training takes where there are more of them than it needs: without a choice, all would take the first.

The trainings that run at once on a workstation, or inside one SLURM job, share its GPUs out by locks on files in a
temporary folder of the user's; a lock goes with the process that holds it. Where a scheduler shows a training only the
GPUs it needs, nothing is chosen. Trainings of other users are not seen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

SLOTS = "FROD_GPU_SLOTS"  # trainings that may share one GPU
WAIT_SECONDS = 1.0

_held: list = []  # locks, until this process ends: CUDA keeps its device as long


def take(count: int) -> None:
    """Choose `count` of the visible GPUs by CUDA_VISIBLE_DEVICES, if there are more; wait until so many are free.

    To be called before CUDA starts.
    """
    found = visible()
    if len(found) <= count:
        return
    slots, said = max(1, int(os.environ.get(SLOTS) or 1)), False
    while (chosen := _free(found, count, slots)) is None:
        if not said:
            print(f"waiting for {count} of {len(found)} GPUs: {slots} training(s) each are on them", flush=True)
            said = True
        time.sleep(WAIT_SECONDS)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)


def visible() -> list[str]:
    """Names of the GPUs that CUDA would show, as CUDA_VISIBLE_DEVICES takes them; CUDA itself is not asked."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [str(i) for i, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


def _free(found: list[str], count: int, slots: int) -> list[str] | None:
    """Lock `count` different GPUs, the emptiest first; None, and no lock, where so many are not free."""
    from filelock import FileLock, Timeout

    folder = _folder()
    taken: dict[str, FileLock] = {}
    for slot in range(slots):
        for name in found:
            if len(taken) < count and name not in taken:
                lock = FileLock(folder / f"{name.replace('/', '_')}.{slot}.lock")
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    continue
                taken[name] = lock
    if len(taken) < count:
        for lock in taken.values():
            lock.release()
        return None
    _held.extend(taken.values())
    return list(taken)


def _folder() -> Path:
    # Two SLURM jobs on one machine may each call another GPU 0.
    place = "-".join(["frod-gpus", str(os.getuid()), *filter(None, [os.environ.get("SLURM_JOB_ID")])])
    folder = Path(tempfile.gettempdir()) / place
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise ValueError(f"{folder}: belongs to another user; set TMPDIR to a folder of your own")
    return folder
