"""Adapted layers under torch.compile: they run between its graphs, as they are.

A graph would take the weight kept for evaluation, or what waits for a step's last micro-batch, for constants; and the
work of a layer is in products that need no compiler. Imported by the first model that is compiled: it loads Dynamo,
which takes a second.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


@torch.compiler.disable(
    reason="FRoD's adapted layers run between graphs. For one graph (fullgraph=True), fold the adapter into the "
    "weights first: frod.merge(model)."
)
def call(function: Callable[..., Tensor], *args: Any) -> Tensor:
    """Call a function outside any graph."""
    return function(*args)
