"""Time the set-up that FRoD needs: `python -m bench.basis --model clip-vit-b32`.

Cold is from a plain model to one that can be trained: ours extracts the basis and attaches, in float64 and in float32
(which is the default is noted); peft's decomposes while it wraps. Cached is the same from a basis on disk: load and
attach, the file in the system's cache. Of the drop-in, which keeps its bases itself: cold with an empty cache of
FRoD's, cached with one that has its basis. All take turns in one process, each on a freshly built model (not counted).
Writes basis-KEY.json.
"""

import inspect
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from bench import records, text, training
from bench.methods import METHODS, extract
from bench.models import SHAPES, Classifier
from bench.settings import TINY, Setting, parser

WHAT = "seconds from a plain model to one that can be trained; cached: from a basis on disk"
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}
LABELS = {
    "frod_float64": "FRoD, cold, float64",
    "frod_float32": "FRoD, cold, float32",
    "frod_cached": "FRoD, cached",
    "peft_frod": "FRoD of peft",
    "peft_dropin_cold": "FRoD in peft, cold",
    "peft_dropin_cached": "FRoD in peft, cached",
}


def ways(setting: Setting, folder: Path) -> dict[str, Callable[[Classifier], None]]:
    """The set-ups that are compared; the cached one reads its basis from the folder."""
    import frod

    targets, rate = SHAPES[setting.model].targets, setting.sparse_rate

    def cold(dtype: torch.dtype) -> Callable[[Classifier], None]:
        return lambda model: METHODS["frod"](model, targets, rate, extract(model, targets, dtype))

    found = {f"frod_{name}": cold(dtype) for name, dtype in PRECISIONS.items()}
    found["frod_cached"] = lambda model: METHODS["frod"](model, targets, rate, frod.Basis.load(folder))
    if "peft_frod" in setting.methods:
        found["peft_frod"] = lambda model: METHODS["peft_frod"](model, targets, rate)
    if "peft_dropin" in setting.methods:

        def dropin(model: Classifier, cache: Path) -> None:
            with mock.patch.dict(os.environ, {"FROD_CACHE": str(cache)}):
                METHODS["peft_dropin"](model, targets, rate)

        dropin(training.fresh(setting), folder.with_name("cache"))
        found["peft_dropin_cold"] = lambda model: dropin(model, Path(tempfile.mkdtemp(dir=folder.parent)))
        found["peft_dropin_cached"] = lambda model: dropin(model, folder.with_name("cache"))
    return found


def measure(setting: Setting) -> dict[str, Any]:
    """Take a setting's set-up times; return the result."""
    import frod

    record = records.start("basis", WHAT, setting)
    record["default"] = str(inspect.signature(frod.extract_basis).parameters["dtype"].default).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as folder:
        # Everything once on a tiny model, so that no import is timed.
        run(replace(TINY, device=setting.device, methods=setting.methods, rounds=1), Path(folder) / "tiny")
        record["methods"], record["bytes"] = run(setting, Path(folder) / "basis")
    training.summarise(record["methods"])
    return record


def run(setting: Setting, folder: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Seconds of every way in every round, and the bytes of the basis on disk."""
    extract(training.fresh(setting), SHAPES[setting.model].targets).save(folder)
    rows = training.setups(setting, ways(setting, folder))
    return rows, sum(file.stat().st_size for file in folder.iterdir())


def lines(record: dict[str, Any]) -> list[str]:
    """A result as a table."""
    return text.setups(record, LABELS, "set-up")


if __name__ == "__main__":
    records.make(parser(__doc__, rounds=3).parse_args(), measure, lines)
