"""How far the running trainings are, as their logs say, on the terminal of the workflow."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

STEP = re.compile(r"step (\d+)/(\d+)\b.*")
SECONDS, SECONDS_OF_A_FILE = 10.0, 60.0  # between two looks: on a terminal, and where the lines are kept
MOST = 8  # lines of one look
TAIL = 400  # bytes of a log that hold its last line


def start(logs: Path) -> None:
    """Print a line of each running training from time to time, until this process ends.

    Parameters
    ----------
    logs : Path
        Folder of RULE/SUITE/.../*.log; on a cluster the jobs write them, too.
    """
    seconds = SECONDS if sys.stderr.isatty() else SECONDS_OF_A_FILE
    threading.Thread(target=_watch, args=(logs, seconds), daemon=True, name="progress").start()


def _watch(logs: Path, seconds: float) -> None:
    while True:
        since = time.time()
        time.sleep(seconds)
        lines = list(running(logs, since))
        for line in lines[:MOST]:
            print(line, file=sys.stderr)
        if lines[MOST:]:
            print(f"and {len(lines) - MOST} more", file=sys.stderr, flush=True)


def running(logs: Path, since: float) -> Iterator[str]:
    """Yield the state of each training that wrote to its log after `since` (seconds since 1970) and goes on."""
    for path in sorted(path for rule in ("train", "trial") for path in logs.glob(f"{rule}/**/*.log")):
        try:
            if path.stat().st_mtime < since:
                continue
            with path.open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - TAIL))
                lines = log.read().decode("utf-8", errors="replace").splitlines()
        except OSError:  # of a job that begins again just now
            continue
        found = STEP.fullmatch(lines[-1].strip()) if lines else None
        if found and found[1] != found[2]:
            yield f"{path.relative_to(logs).with_suffix('')}: {found[0]}"
