"""Checkpoints: a killed training goes on from the last one and ends in the same result, bit for bit on a CPU."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from frod import files
from frod.training.processes import Processes


def save(path: Path, fingerprint: str, processes: Processes, **state: Any) -> None:
    """Write a checkpoint under a temporary name and rename it; the states of all processes' generators are added.

    All processes call this, with the same whole state; the first one writes.
    """
    random = {"cpu": processes.gather(torch.get_rng_state())}
    if torch.cuda.is_available():
        random["cuda"] = processes.gather(torch.cuda.get_rng_state())
    if not processes.is_main:
        return
    try:
        with files.path_for(path) as partial:
            torch.save({"fingerprint": fingerprint, "random": random, **state}, partial)
    except OSError as error:  # a full disk: the last whole checkpoint stays, and the training is not given up for it
        print(f"no checkpoint now, the training goes on: {error}", file=sys.stderr, flush=True)


def load(path: Path, fingerprint: str, processes: Processes) -> dict[str, Any] | None:
    """Read a checkpoint and restore this process's generators.

    Returns None, and says why on stderr, where there is none that fits: it is of other parameters, inputs or code
    (`fingerprint`), or damaged. Then the run starts again.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums, and does not look at them when it reads
            if part := archive.testzip():
                raise ValueError(f"{part} does not fit its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except Exception as error:  # damage leads the libraries to errors of many kinds, and to start again is always right
        print(f"{path}: damaged checkpoint, starting again ({error})", file=sys.stderr)
        return None
    if found != fingerprint:
        print(f"{path}: checkpoint of other parameters, inputs or code, starting again", file=sys.stderr)
        return None
    torch.set_rng_state(state["random"]["cpu"][processes.rank])
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"][processes.rank])
    return state
