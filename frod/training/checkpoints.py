"""Checkpoints: a killed training goes on from the last one and ends in the same result, bit for bit on a CPU."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import torch

from frod import files


def save(path: Path, fingerprint: str, **state: Any) -> None:
    """Write a checkpoint under a temporary name and rename it; the generators' states are added."""
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    with files.path_for(path) as partial:
        torch.save({"fingerprint": fingerprint, "random": random, **state}, partial)


def load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read a checkpoint and restore the generators.

    Returns None, and says why on stderr, where there is none that fits: it is of other parameters, inputs or code
    (`fingerprint`), or damaged. Then the run starts anew.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except (RuntimeError, EOFError, KeyError, ValueError, OSError, pickle.UnpicklingError) as error:
        print(f"{path}: damaged checkpoint, starting anew ({error})", file=sys.stderr)
        return None
    if found != fingerprint:
        print(f"{path}: checkpoint of other parameters, inputs or code, starting anew", file=sys.stderr)
        return None
    torch.set_rng_state(state["random"]["cpu"])
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"])
    return state
