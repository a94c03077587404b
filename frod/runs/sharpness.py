"""Sharpness: how much the loss rises around the weights that a training left, when they are perturbed at random.

Every target layer is perturbed at once, W' + delta with ‖delta‖ = 0.05 ‖W‖ (Frobenius), W being the weight in the
backbone's files. So the perturbation is of the weight that the layer multiplies by, however a method keeps it, and it
is the same for every method of a seed. Each direction is taken both ways: the slope, which validation has and chance
signs, cancels, and what is left is curvature. Random directions and a size relative to the weights as in Neyshabur et
al., Exploring Generalization in Deep Learning (2017), and Li et al., Visualizing the Loss Landscape (2018).

Shapes: m out_features, n in_features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
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
"""Of validation, at most; the same for every run of a task."""
Originals = Mapping[str, Mapping[str, Stored]]


def schema() -> pyarrow.Schema:
    """Columns of sharpness.parquet: per seed the loss in place (direction 0, step 0), and a row per direction and step.

    `loss` is as of `frod.evaluation.loss`, in float32, whatever the training's precision; nan where it is not finite.
    """
    import pyarrow

    fields = {"seed": "int64", "examples": "int64", "direction": "int64", "step": "float64", "loss": "float64"}
    return pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in fields.items()])


@torch.no_grad()
def rows(model: nn.Module, run: Run, validation: Split, before: Originals) -> Iterator[dict[str, Any]]:
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
    for direction in range(1, DIRECTIONS + 1):
        units = {
            name: perturbation(stored.weight, stream(run.seed, f"sharpness/{direction}/{name}")).to(device)
            for layers in before.values()
            for name, stored in layers.items()
        }
        for step in STEPS:
            with ExitStack() as stack:
                for layers in before.values():
                    for name, stored in layers.items():
                        module, rows = _place(model, name, stored)
                        hook = module.register_forward_hook(_adds(step * units[name], rows))
                        stack.callback(hook.remove)
                yield measured(direction, step)


def perturbation(weight: Tensor, seed: int) -> Tensor:
    """A random direction of shape (m, n), float32, as long as the weight by Frobenius' norm."""
    draw = np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(weight.shape))
    size = float(torch.linalg.matrix_norm(weight.double())) / np.linalg.norm(draw)
    return torch.from_numpy((size * draw).astype(np.float32))


def _place(model: nn.Module, name: str, stored: Stored) -> tuple[nn.Module, slice]:
    """The module that computes a layer, and which of its outputs are the layer's."""
    if isinstance(stored.target, FusedSlice):
        return model.get_submodule(name.rpartition(".")[0]), stored.target.rows
    return model.get_submodule(name), slice(None)


def _adds(delta: Tensor, rows: slice) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A hook that makes a layer's output that of W' + delta: every method's layer is linear in its input."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        output = output.clone()
        output[..., rows] += (inputs[0].to(delta) @ delta.T).to(output)
        return output

    return hook
