"""Where the time of a step goes, by torch.profiler: seconds of each group of operations, none counted twice.

On the CPU a group holds the operations' own time, on an accelerator the time of their kernels; what none fills is
"outside operations". The profiler takes time itself, so the sums exceed the steps that were timed without it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType

from bench.methods import LABELS
from bench.models import SHAPES
from bench.settings import Setting
from bench.training import timed, wait

STEPS = 2
ACTIVATIONS = "dense products with activations"
WEIGHTS = "dense products of weights with the basis"
SPARSE = "products with the sparse pattern"
ATTENTION = "attention"
OPTIMISER = "optimiser"
REST = "other operations"
OUTSIDE = "outside operations"
GROUPS = (ACTIVATIONS, WEIGHTS, SPARSE, ATTENTION, REST, OPTIMISER, OUTSIDE)

PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::_addmm_activation", "aten::addmv", "aten::mv"}
BATCHED = {"aten::bmm", "aten::baddbmm"}  # of these models only attention multiplies in batches
SPARSE_WORDS = ("embedding_bag", "sparse", "sampled_addmm", "csr")
ATTENTION_WORDS = ("scaled_dot_product", "flash_attention", "efficient_attention")


def measure(step: Callable[[], None], setting: Setting) -> dict[str, Any]:
    """Seconds per step of each group, over `STEPS` steps after one that is not counted."""
    step()
    wait(setting.device)
    on_gpu = torch.device(setting.device).type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if on_gpu:
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds, record_shapes=True) as profiler:
        wall = sum(timed(step, setting.device) for _ in range(STEPS))
    rows = {setting.batch, setting.batch * SHAPES[setting.model].tokens(setting.length)}
    groups = dict.fromkeys(GROUPS, 0.0)
    for event in profiler.events():
        if event.device_type == DeviceType.CPU:
            microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            groups[group_of(event, rows)] += microseconds / 1e6 / STEPS
    groups[OUTSIDE] += max(0.0, wall / STEPS - sum(groups.values()))
    return {"seconds": wall / STEPS, "groups": groups}


def group_of(event: Any, rows: set[int]) -> str:
    """The group of an operation, by the nearest of itself and what called it that says so.

    Parameters
    ----------
    event : torch.autograd.profiler_util.FunctionEvent
        `name`, `input_shapes` and `cpu_parent` are read.
    rows : set of int
        How many rows activations have: a product one of whose operands has that many is one with activations.
    """
    found = None
    while event is not None:
        if event.name.startswith("Optimizer."):
            return OPTIMISER
        found = found or _own_group(event, rows)
        event = event.cpu_parent
    return found or REST


def _own_group(event: Any, rows: set[int]) -> str | None:
    name = event.name
    if any(word in name for word in SPARSE_WORDS):
        return SPARSE
    if name in BATCHED or any(word in name for word in ATTENTION_WORDS):
        return ATTENTION
    if name in PRODUCTS:
        return ACTIVATIONS if any(rows & set(shape) for shape in event.input_shapes or () if shape) else WEIGHTS
    return None


def lines(record: dict[str, Any]) -> list[str]:
    """The breakdown of a result of `bench.step` as a table; empty if there is none."""
    methods = record.get("breakdown", {})
    if not methods:
        return []
    # Two methods are there to be compared: the second less the first.
    names = [LABELS[name] for name in methods] + (["difference"] if len(methods) == 2 else [])
    result = [f"{'one step, profiled, s':<42}" + "".join(f"{name:>20}" for name in names)]
    for group in (*GROUPS, "in all"):
        values = [row["groups"].get(group, row["seconds"]) for row in methods.values()]
        if any(values):
            shown = [f"{value:>20.3f}" for value in values]
            shown += [f"{values[1] - values[0]:>+20.3f}"] if len(values) == 2 else []
            result.append(f"{group:<42}" + "".join(shown))
    return result
