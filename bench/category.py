"""Time and peak memory of one category's basis, from files: `python -m bench.category --model llama-2-7b`.

The category whose decomposition is the dearest, with random weights in safetensors files, a layer in each, and the
model on the meta device: what is extracted so needs room for one layer and a few n x n matrices, however large the
model. It has a process of its own, whose peak is the operating system's resident size, files that are mapped included.
Writes category-KEY.json.
"""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench import records
from bench.memory import child, peak
from bench.models import SHAPES
from bench.settings import Setting, parser, setting_of
from bench.training import fresh, wait
from frod.method.plan import CategoryPlan, plan_model

WHAT = "seconds and peak bytes of a process that extracts the basis of one category from files"


def measure(setting: Setting) -> dict[str, Any]:
    """Take the figures; return the result."""
    record = records.start("category", WHAT, setting)
    category = dearest(setting)
    record |= {"category": category.category, "layers": category.layers, "m": category.m, "n": category.n}
    with tempfile.TemporaryDirectory() as folder:
        write_weights(setting, category, Path(folder))
        record["bytes"] = sum(file.stat().st_size for file in Path(folder).iterdir())
        record["methods"] = {"float64": child("category", setting, "--child", folder)}
    return record


def dearest(setting: Setting) -> CategoryPlan:
    """The category that takes the longest."""
    rows = plan_model(fresh(replace(setting, device="meta")), SHAPES[setting.model].targets, tokens=1)
    return max(rows, key=lambda row: row.layers * row.m * row.n**2)


def write_weights(setting: Setting, category: CategoryPlan, folder: Path) -> None:
    """Random weights of the category's layers, in the scale that models are initialised with."""
    suffix = category.category.rpartition("*.")[2]
    generator = torch.Generator().manual_seed(0)
    for name, parameter in fresh(replace(setting, device="meta")).named_parameters():
        if name.endswith(f"{suffix}.weight"):
            weight = torch.randn(parameter.shape, generator=generator).mul_(0.02).to(parameter.dtype)
            save_file({name: weight}, folder / f"{name}.safetensors")


def in_child(setting: Setting, folder: str) -> dict[str, Any]:
    """Extract the category's basis, in float64, the default; return seconds, peak and what the manifest says."""
    import frod

    suffix = dearest(setting).category.rpartition("*.")[2]
    started = time.perf_counter()
    model = fresh(replace(setting, device="meta"))
    basis = frod.extract_basis(model, [suffix], device=setting.device, checkpoint=folder)
    wait(setting.device)
    seconds = time.perf_counter() - started
    (category,) = basis.categories.values()
    return {"median": seconds, "seconds": [seconds], "peak": peak("cpu"), "facts": category.facts}


def lines(record: dict[str, Any]) -> list[str]:
    """A result as a table."""
    result = [f"{record['category']}, {record['layers']} layers of {record['m']} x {record['n']}, from files"]
    result.append(f"{'precision':<12}{'s':>8}{'peak GiB':>10}{'error of W':>12}{'of V':>10}{'condition':>11}")
    for name, row in record["methods"].items():
        facts = row["facts"]
        result.append(
            f"{name:<12}{row['median']:>8.1f}{row['peak'] / 2**30:>10.2f}{facts['largest_reconstruction_error']:>12.1e}"
            f"{facts['eigenvector_error']:>10.1e}{facts['condition_number']:>11.0f}"
        )
    return result


def main() -> None:
    """Parse, measure, write, print."""
    command = parser(__doc__, model="llama-2-7b", dtype="bfloat16", methods=("frod",))
    command.add_argument("--child", help="internal: folder of the weights")
    arguments = command.parse_args()
    if arguments.child:
        print(json.dumps(in_child(setting_of(arguments), arguments.child)))
    else:
        records.make(arguments, measure, lines)


if __name__ == "__main__":
    main()
