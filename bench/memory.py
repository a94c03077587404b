"""Peak memory of each method: `python -m bench.memory --model clip-vit-b32 --batch 64`.

Every method has a process of its own, from building the model to the end of its `STEPS`-th step. On the CPU the figure
is the operating system's peak resident size of the process (VmHWM): nothing is subtracted, so python and torch are in
it, as is peft's set-up for peft's FRoD; ours loads a basis that another process has extracted. On CUDA it is the peak
that torch has allocated on the device. Writes memory-KEY.json.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench import records
from bench.methods import LABELS, extract, needs_basis
from bench.models import SHAPES
from bench.settings import Setting, parser, setting_of
from bench.text import say
from bench.training import fresh, prepared, stepper, wait

STEPS = 2  # in the second, AdamW's moments are there besides the activations
WHAT = f"bytes: peak of a process that builds the model, sets a method up and takes {STEPS} steps; nothing subtracted"
ROOT = Path(__file__).parents[1]
STATUS = Path("/proc/self/status")


def measure(setting: Setting) -> dict[str, Any]:
    """Take the peaks of all methods, one process after the other; return the result."""
    record = records.start("memory", WHAT, setting)
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if any(needs_basis(method) for method in setting.methods):
            child("memory", setting, "--child", "basis", "--basis", folder)
        for method in setting.methods:
            rows[method] = child("memory", setting, "--child", method, "--basis", folder)
            say(f"{method}: {rows[method].get('peak', 0) / 2**30:.2f} GiB")
    peaks = {name: row["peak"] for name, row in rows.items() if "peak" in row}
    for name, peak_of_it in peaks.items():
        references = ("full_ft", "peft_frod")
        rows[name]["ratio_to"] = {other: peak_of_it / peaks[other] for other in references if other in peaks}
    record["methods"] = rows
    return record


def child(kind: str, setting: Setting, *words: str) -> dict[str, Any]:
    """Run a measurement's module in a process of its own and return what it prints last."""
    command = [sys.executable, "-m", f"bench.{kind}", *setting.arguments(), *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench.{kind} {' '.join(words[:2])} ended with {done.returncode}; its errors are above.")
    return json.loads(done.stdout.splitlines()[-1])


def in_child(setting: Setting, method: str, folder: str) -> dict[str, Any]:
    """Extract the basis into the folder, or set up and train with a method; return the peaks, in bytes."""
    import frod

    if method == "basis":
        extract(fresh(setting), SHAPES[setting.model].targets).save(folder)
        return {}
    started = peak(setting.device)
    try:
        basis = frod.Basis.load(folder) if needs_basis(method) else None
        model, _ = prepared(setting, method, basis)
        del basis
        setup = peak(setting.device)
        forget_peak(setting.device)
        step = stepper(model, setting)
        for _ in range(STEPS):
            step()
        wait(setting.device)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    steps = peak(setting.device)
    return {"peak": max(setup, steps), "peak_setup": setup, "peak_steps": steps, "before": started}


def peak(device: str) -> int:
    """The most memory used so far, in bytes: of the process, or of the accelerator by torch."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():
        return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak(device: str) -> None:
    """Have `peak` count from here. Where a system has no such thing, it goes on from the start."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        say(f"the peak of the steps includes that of the set-up: {error.strerror}")


def lines(record: dict[str, Any]) -> list[str]:
    """A result as a table."""
    result = [f"{'peak memory':<22}{'MiB':>10}{'ratio':>8}{'to peft':>8}{'set-up, MiB':>14}{'steps, MiB':>12}"]
    for name, row in record["methods"].items():
        if "failed" in row:
            result.append(f"{LABELS[name]:<22}{row['failed']:>10}")
            continue
        ratios = [row.get("ratio_to", {}).get(other) for other in ("full_ft", "peft_frod")]
        shown = "".join(f"{'–' if ratio is None else f'{ratio:.2f}':>8}" for ratio in ratios)
        result.append(
            f"{LABELS[name]:<22}{row['peak'] / 2**20:>10,.0f}{shown}"
            f"{row['peak_setup'] / 2**20:>14,.0f}{row['peak_steps'] / 2**20:>12,.0f}"
        )
    return result


def main() -> None:
    """Parse, measure, write, print."""
    command = parser(__doc__)
    command.add_argument("--child", help="internal: the one method of this process")
    command.add_argument("--basis", help="internal: folder of the basis")
    arguments = command.parse_args()
    if arguments.child:
        print(json.dumps(in_child(setting_of(arguments), arguments.child, arguments.basis)))
    else:
        records.make(arguments, measure, lines, key="key")


if __name__ == "__main__":
    main()
