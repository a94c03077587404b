"""One training step of a prepared model, and how seconds are taken and compared."""

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from bench.methods import METHODS
from bench.models import SHAPES, Classifier, build, examples
from bench.settings import TINY, Setting
from bench.text import say

LEARNING_RATE = 1e-4


def fresh(setting: Setting) -> Classifier:
    """The plain model of a setting; the same weights at every call."""
    return build(setting.model, layers=setting.depth, device=setting.device, dtype=getattr(torch, setting.dtype))


def prepared(setting: Setting, method: str, basis: Any = None) -> tuple[Classifier, float]:
    """A fresh model with a method set up on it, and the seconds that the set-up took."""
    model = fresh(setting)
    set_up = partial(METHODS[method], model, SHAPES[setting.model].targets, setting.sparse_rate, basis)
    return model, timed(set_up, setting.device)


def setups(setting: Setting, ways: dict[str, Callable[[Classifier], None]]) -> dict[str, dict[str, Any]]:
    """Seconds of every way to set a fresh model up, in every round."""
    rows: dict[str, dict[str, Any]] = {name: {"seconds": []} for name in ways}
    for number in range(setting.rounds):
        for name in turn(list(ways), number):
            model = fresh(setting)
            seconds = timed(partial(ways[name], model), setting.device)
            rows[name]["seconds"].append(seconds)
            if setting.model != TINY.model:
                say(f"round {number + 1} of {setting.rounds}: {name} {seconds:.2f} s")
            del model
            release()
    return rows


def stepper(model: nn.Module, setting: Setting) -> Callable[[], None]:
    """One optimiser step on a fixed batch: forward and backward of every micro-batch, then AdamW.

    Half-precision weights are trained as they are, their gradients and AdamW's moments in the same dtype; autocast is
    not used. The adapters keep the dtype that their method gives them.
    """
    import frod

    inputs, labels = examples(
        setting.model,
        batch=setting.batch,
        length=setting.length,
        device=setting.device,
        dtype=getattr(torch, setting.dtype),
    )
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=LEARNING_RATE, weight_decay=0)
    count = setting.accumulation

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        for i in range(count):
            # Of no effect on a model without FRoD's adapters.
            with frod.accumulating(model, count) if i < count - 1 else nullcontext():
                loss = nn.functional.cross_entropy(model(**inputs).float(), labels)
                (loss / count).backward()
        optimiser.step()

    return step


def timed(action: Callable[[], Any], device: str) -> float:
    """Seconds that an action takes, what it has queued on the accelerator included."""
    wait(device)
    started = time.perf_counter()
    action()
    wait(device)
    return time.perf_counter() - started


def wait(device: str) -> None:
    """Until the accelerator has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def release() -> None:
    """Give back what is no longer used."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def turn(names: Sequence[str], number: int) -> list[str]:
    """The order of a round: forwards, then backwards, and so on.

    Each method then has every other before it as often as behind it, and a machine that steadily slows down or speeds
    up favours none over a pair of rounds.
    """
    return list(names) if number % 2 == 0 else list(reversed(names))


def compared(rows: dict[str, dict[str, Any]], reference: str) -> dict[str, dict[str, float]]:
    """Median over rounds of each method's seconds over the reference's of the same round, with the extremes.

    A slow spell of the machine meets both, and cancels. Empty without the reference.
    """
    if "seconds" not in rows.get(reference, {}):
        return {}
    result: dict[str, dict[str, float]] = {}
    for name, row in rows.items():
        if "seconds" in row:
            ratios = [a / b for a, b in zip(row["seconds"], rows[reference]["seconds"], strict=True)]
            result[name] = {"median": median(ratios), "least": min(ratios), "most": max(ratios)}
    return result


def summarise(rows: dict[str, dict[str, Any]]) -> None:
    """Add to each row its median and its ratios to full fine-tuning and to peft's FRoD, where those were measured."""
    for row in rows.values():
        if "seconds" in row:
            row["median"] = median(row["seconds"])
    for reference in ("full_ft", "peft_frod"):
        for name, ratio in compared(rows, reference).items():
            rows[name].setdefault("ratio_to", {})[reference] = ratio
