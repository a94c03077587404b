"""The size of a peft method (its rank, mostly) at which it trains about as many numbers as FRoD on the same layers.

A method's numbers are counted on one layer of each shape among the targets, on the meta device: no weight of the model
is copied and nothing is initialised, so that a size costs milliseconds, whatever the model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from frod.config import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Match:
    """A method at the size that comes nearest to FRoD's."""

    adapter: Method
    """The method with its size argument set."""
    target: int
    """Numbers that FRoD trains outside the head."""

    def facts(self, reached: int) -> dict[str, Any]:
        """What a record says of it; `reached`: the numbers outside the head that the adapted model does train."""
        argument = self.adapter.size_argument
        return {
            "to": self.adapter.match_parameters,
            "argument": argument,
            "value": self.adapter.arguments[argument],
            "target": self.target,
            "reached": reached,
        }


def match(model: nn.Module, adapter: Method, like: Method, targets) -> Match:
    """Choose the value of `adapter.size_argument` by the number of trained parameters outside the head.

    The model is without adapters; only the shapes of its target layers are read. `adapter` is of kind peft: what else
    its `arguments` say stays, LoRA's alpha for one. `like` is of kind frod: n + int(sparse_rate n^2) numbers a layer,
    less what it freezes.

    Returns the nearest that there is, be it far: of two as near, the smaller. A rank goes up to the narrowest side of
    all layers; OFT's block sizes are those that divide the width of every layer. ValueError where the class has no such
    argument, as IA3's has none, or takes none of its values.
    """
    from frod.method.counting import predict_parameters
    from frod.training.methods.peft import configuration_class, fields

    if adapter.size_argument not in fields(configuration_class(adapter.config)):
        raise ValueError(
            f"methods: match_parameters is {adapter.match_parameters!r}, but {adapter.config} has no argument "
            f"{adapter.size_argument!r}: name the one that sets its size as size_argument, or leave out "
            "match_parameters"
        )
    assert like.sparse_rate is not None, "of kind frod"
    target = int(predict_parameters(model, targets, sparse_rate=like.sparse_rate, freeze=like.freeze)["adapter"])
    shapes = shapes_of(model, targets)
    refused: list[ValueError] = []

    @cache
    def distance(value: int) -> float:
        try:
            return abs(count(_sized(adapter, value), shapes) - target)
        except ValueError as error:  # a size that does not go with these layers, or arguments that never do
            refused.append(error)
            return math.inf

    best = _nearest(distance, _values(adapter, shapes))
    if distance(best) == math.inf:
        raise refused[-1]
    return Match(_sized(adapter, best), target)


def _sized(adapter: Method, value: int) -> Method:
    return adapter.model_copy(update={"arguments": adapter.arguments | {adapter.size_argument: value}})


def shapes_of(model: nn.Module, targets) -> Counter[tuple[int, int]]:
    """Number of target modules by (in_features, out_features); a fused layer is one module, as for `apply`."""
    from frod.method.targets import find, in_features, modules_of, out_features

    layers = [model.get_submodule(name) for name in modules_of(find(model, targets))]
    return Counter((in_features(layer), out_features(layer)) for layer in layers)


def count(adapter: Method, shapes: Counter[tuple[int, int]]) -> int:
    """Numbers that a method trains on so many layers of these shapes."""
    import torch

    from frod.training.methods.peft import configuration, inject

    with torch.device("meta"):
        sample = torch.nn.ModuleDict({f"layer_{n}_{m}": torch.nn.Linear(n, m) for n, m in shapes})
        inject(sample, configuration(adapter, list(sample), 0), 0)
    trained = {
        (n, m): sum(p.numel() for p in sample[f"layer_{n}_{m}"].parameters() if p.requires_grad) for n, m in shapes
    }
    return sum(trained[shape] * layers for shape, layers in shapes.items())


def _values(adapter: Method, shapes: Counter[tuple[int, int]]) -> list[int]:
    """Sizes to choose from, ascending."""
    if adapter.config == "OFTConfig":  # peft would change another block size to one that fits, layer by layer
        width = math.gcd(*(n for n, _ in shapes))
        return [size for size in range(2, width + 1) if width % size == 0]
    return list(range(1, min(min(shape) for shape in shapes) + 1))


def _nearest(distance: Callable[[int], float], values: list[int]) -> int:
    """The value of least distance: the best power of two first, then all values between its neighbours.

    The number trained may rise with the size or fall, and need not do so at every step (RandLoRA's goes up a little
    between its falls): enough that it does from one power of two to the next.
    """
    grid = [value for value in values if value.bit_count() == 1] + values[-1:]
    best = min(grid, key=distance)
    return min((value for value in values if best <= 2 * value and value <= 2 * best), key=distance)
