"""Sharpness: how much the loss rises around the weights that a training left, when they are perturbed at random.

Every target layer is perturbed at once, W' + delta with ‖delta‖ = 0.05 ‖W‖ (Frobenius), W being the weight in the
backbone's files. So the perturbation is of the weight that the layer multiplies by, however a method keeps it, and it
is the same for every method of a seed. Each direction is taken both ways: the slope, which validation has and chance
signs, cancels, and what is left is curvature. Random directions and a size relative to the weights as in Neyshabur et
al., Exploring Generalization in Deep Learning (2017), and Li et al., Visualizing the Loss Landscape (2018).

Shapes: m out_features, n in_features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from frod.config import Run
from frod.evaluation.loss import loss
from frod.method.shards import Stored
from frod.method.targets import FusedSlice
from frod.tasks.arrays import Split
from frod.training.predict import predict
from frod.training.run import EVALUATION_FACTOR
from frod.training.seeds import stream, subset

if TYPE_CHECKING:
    import pyarrow

DIRECTIONS = 3
STEPS = (-0.05, 0.05)
"""‖delta‖ / ‖W‖, with a sign."""
EXAMPLES = 256
"""Of validation, at most; the same for every run of a task. (Under the released protocol, validation is test.)"""


def schema() -> pyarrow.Schema:
    """Columns of sharpness.parquet: per seed the loss in place (direction 0, step 0), and a row per direction and step.

    `loss` is as of `frod.evaluation.loss`, in float32, whatever the training's precision; nan where it is not finite.
    """
    import pyarrow

    fields = {"seed": "int64", "examples": "int64", "direction": "int64", "step": "float64", "loss": "float64"}
    return pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in fields.items()])


def rows(
    model: nn.Module, run: Run, validation: Split, before: Mapping[str, Mapping[str, Stored]]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run.

    Parameters
    ----------
    model : nn.Module
        Restored; computed is where it lies. It is left as it was.
    before : mapping
        Of `frod.runs.spectrum.originals`.
    """
    chosen = subset(validation.labels, EXAMPLES, stream(run.split_seed, "sharpness"))
    device = next(model.parameters()).device

    def measured(direction: int, step: float) -> dict[str, Any]:
        table = predict(
            model,
            validation,
            chosen,
            split=validation.name,
            batch_size=EVALUATION_FACTOR * run.training.batch_size,
            device=device,
        )
        place = {"direction": direction, "step": step}
        return {"seed": run.seed, "examples": len(chosen)} | place | {"loss": loss(table)}

    yield measured(0, 0.0)
    stored = {name: of for layers in before.values() for name, of in layers.items()}
    for direction in range(1, DIRECTIONS + 1):
        seeds = {name: stream(run.seed, f"sharpness/{direction}/{name}") for name in stored}
        units = {name: perturbation(of.weight, seeds[name]).to(device) for name, of in stored.items()}
        for step in STEPS:
            with perturbed(model, stored, units, step):
                found = measured(direction, step)
            yield found


@contextmanager
def perturbed(
    model: nn.Module, stored: Mapping[str, Stored], units: Mapping[str, Tensor], step: float
) -> Iterator[None]:
    """Add `step` times `units`, (m, n) by layer, to what the layers of a model multiply by, for as long as this holds.

    Whatever a method makes of a layer is linear in the layer's input, so that delta's share is added to the output.
    """
    with ExitStack() as hooks:
        for name, unit in units.items():
            fused = stored[name].target
            part = fused.rows if isinstance(fused, FusedSlice) else slice(None)
            module = model.get_submodule(name.rpartition(".")[0] if isinstance(fused, FusedSlice) else name)
            hooks.callback(module.register_forward_hook(partial(_add, unit, step, part)).remove)
        yield


def _add(unit: Tensor, step: float, part: slice, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    output = output.clone()
    output[..., part] += step * (inputs[0].to(unit) @ unit.T).to(output)
    return output


def perturbation(weight: Tensor, seed: int) -> Tensor:
    """A random direction of shape (m, n), in the weight's dtype, as long as the weight by Frobenius' norm."""
    draw = np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(weight.shape))
    size = float(torch.linalg.matrix_norm(weight.double())) / np.linalg.norm(draw)
    return torch.from_numpy(size * draw).to(weight.dtype)
