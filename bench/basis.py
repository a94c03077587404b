"""Time the set-up that FRoD needs: `python -m bench.basis --model clip-vit-b32`.

Cold is from a plain model to one that can be trained: ours extracts the basis and attaches, in float64 and in float32
(which is the default is noted); peft's decomposes while it wraps. Cached is the same from a basis on disk: load and
attach, the file in the system's cache. All take turns in one process, each on a freshly built model (not counted).
Writes basis-KEY.json.
"""

import inspect
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import records
from bench.methods import extract, set_up
from bench.models import SHAPES, Classifier
from bench.settings import TINY, Setting, parser, setting_of
from bench.step import release, say
from bench.training import fresh, summarise, timed, turn

WHAT = "seconds from a plain model to one that can be trained; cached: from a basis on disk"
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}
LABELS = {
    "frod_float64": "FRoD, cold, float64",
    "frod_float32": "FRoD, cold, float32",
    "frod_cached": "FRoD, cached",
    "peft_frod": "FRoD of peft",
}


def ways(setting: Setting, folder: Path) -> dict[str, Callable[[Classifier], None]]:
    """The set-ups that are compared; the cached one reads its basis from the folder."""
    import frod

    targets, rate = SHAPES[setting.model].targets, setting.sparse_rate

    def cold(dtype: torch.dtype) -> Callable[[Classifier], None]:
        return lambda model: set_up("frod", model, targets, rate, extract(model, targets, dtype))

    found = {f"frod_{name}": cold(dtype) for name, dtype in PRECISIONS.items()}
    found["frod_cached"] = lambda model: set_up("frod", model, targets, rate, frod.Basis.load(folder))
    if "peft_frod" in setting.methods:
        found["peft_frod"] = lambda model: set_up("peft_frod", model, targets, rate)
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
    summarise(record["methods"])
    return record


def run(setting: Setting, folder: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Seconds of every way in every round, and the bytes of the basis on disk."""
    extract(fresh(setting), SHAPES[setting.model].targets).save(folder)
    compared = ways(setting, folder)
    rows: dict[str, dict[str, Any]] = {name: {"seconds": []} for name in compared}
    for number in range(setting.rounds):
        for name in turn(list(rows), number):
            model = fresh(setting)
            seconds = timed(partial(compared[name], model), setting.device)
            rows[name]["seconds"].append(seconds)
            if setting.model != TINY.model:
                say(f"round {number + 1} of {setting.rounds}: {name} {seconds:.2f} s")
            del model
            release()
    return rows, sum(file.stat().st_size for file in folder.iterdir())


def main() -> None:
    """Parse, measure, write, print."""
    from bench import table

    arguments = parser(__doc__, rounds=3).parse_args()
    setting = setting_of(arguments)
    if setting.threads:
        torch.set_num_threads(setting.threads)
    record = measure(setting)
    records.write(arguments.out, setting.shape_key, record)
    print("\n".join(table.setup_block(record, LABELS)))


if __name__ == "__main__":
    main()
