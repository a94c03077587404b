"""Adapted layers under torch.compile: they run between its graphs, as they are.

A graph would take the weight kept for evaluation, or what waits for a step's last micro-batch, for constants; and the
work of a layer is in products that need no compiler. Imported by the first model that is compiled: it loads Dynamo,
which takes a second.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from frod.method.reading import read

if TYPE_CHECKING:
    from frod.method.linear import FrodLinear
    from frod.method.weights import AdaptedWeight


between_graphs = torch.compiler.disable(
    reason="FRoD's adapted layers run between graphs. For one graph (fullgraph=True), fold the adapter into the "
    "weights first: frod.merge(model)."
)


@between_graphs
def compute(layer: "FrodLinear", x: Tensor) -> Tensor:
    """Compute the layer's output outside any graph."""
    return layer.compute(x)


@between_graphs
def weight(layer: "AdaptedWeight") -> Tensor:
    """W' as a plain tensor: a graph cannot take one whose numbers are formed later."""
    return read(layer).clone()
