"""Checkpoints: a killed training goes on from the last one and ends in the same result, bit for bit on a CPU.

A checkpoint is one file. What is in pieces lies next to it, in a folder named by the file's step: no process ever has
the whole. The folder of the last checkpoint stays until there is the file of the next.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from frod import files
from frod.training import sharding
from frod.training.processes import Processes


def save(
    path: Path,
    fingerprint: str,
    processes: Processes,
    *,
    step: int,
    pieces: dict[str, torch.Tensor] | None = None,
    **state: Any,
) -> None:
    """Write a checkpoint under a temporary name and rename it; the states of all processes' generators are added.

    All processes call this, with the same whole state; the first one writes that, and each its own of the pieces.
    """
    random = {"cpu": processes.gather(torch.get_rng_state())}
    if torch.cuda.is_available():
        random["cuda"] = processes.gather(torch.cuda.get_rng_state())
    state |= {"fingerprint": fingerprint, "random": random, "step": step}
    try:
        if pieces:
            sharding.save(_folder(path, step), pieces)
            state["digests"] = processes.gather(sharding.digest(_folder(path, step), processes.rank))
        if processes.is_main:
            with files.path_for(path) as partial:
                torch.save(state, partial)
    except OSError as error:  # a full disk: the last whole checkpoint stays, and the training is not given up for it
        print(f"no checkpoint now, the training goes on: {error}", file=sys.stderr, flush=True)
        shutil.rmtree(_folder(path, step), ignore_errors=True)
    else:
        if processes.is_main:
            _remove_pieces(path, but=step)


def load(path: Path, fingerprint: str, processes: Processes) -> dict[str, Any] | None:
    """Read a checkpoint but for its pieces, and restore this process's generators. All processes call this.

    Returns None, and says why on stderr, where there is none that fits: it is of other parameters, inputs or code
    (`fingerprint`), or damaged. Then the run starts again.
    """
    state = _read(path, fingerprint)
    steps = processes.gather(torch.tensor(state["step"] if state else 0))
    if len(set(map(int, steps))) > 1:
        raise OSError(f"{path}: could not be read by all processes; train again")
    if state and "digests" in state:
        mine = sharding.digest(_folder(path, state["step"]), processes.rank)
        if processes.all_reduce_sum(torch.tensor(int(not mine.equal(state["digests"][processes.rank])))):
            print(f"{_folder(path, state['step'])}: damaged checkpoint, starting again", file=sys.stderr)
            state = None
    if processes.is_main:
        _remove_pieces(path, but=state["step"] if state else 0)
    if state is None:
        return None
    torch.set_rng_state(state["random"]["cpu"][processes.rank])
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"][processes.rank])
    return state


def load_pieces(path: Path, step: int, pieces: dict[str, torch.Tensor]) -> None:
    """Fill tensors that are in pieces with those of a checkpoint that `load` has read. All processes call this."""
    if pieces:
        sharding.load(_folder(path, step), pieces)


def _read(path: Path, fingerprint: str) -> dict[str, Any] | None:
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
    return state


def _folder(path: Path, step: int | str) -> Path:
    return path.with_suffix(f".step-{step}")


def _remove_pieces(path: Path, *, but: int) -> None:
    for folder in path.parent.glob(_folder(path, "*").name):
        if folder != _folder(path, but):
            shutil.rmtree(folder)
