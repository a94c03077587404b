"""Gradients that wait for the last micro-batch of an optimiser step, of layers which that one does not use.

Under `frod.accumulating` a layer sums the gradients of its weight, to project them once, in the backward of the last
micro-batch. A layer that has no part in that one (LayerDrop, experts, branches) would never come to it. So all layers
in the last micro-batch's graph also depend on a node behind them, which runs after theirs and takes what is left.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from frod.method.wrappers import in_pieces

if TYPE_CHECKING:
    from frod.method.weights import AdaptedWeight


class Step:
    """An optimiser step of which all micro-batches but the last are done, and the layers that wait for that."""

    def __init__(self, layers: "Sequence[AdaptedWeight]") -> None:
        self.layers, self.nested = layers, False
        self.waiting = [layer for layer in layers if layer.waits]
        start = layers[0].lambda_0.new_zeros((), requires_grad=True)
        trained = [tensor for layer in self.waiting for tensor in (layer.scale, layer.rotation)]
        with torch.enable_grad():
            self._node = cast(Tensor, _Leftover.apply(start, self, *trained))

    def join(self, scale: Tensor) -> Tensor:
        """The same numbers, in a graph of which the leftover is part."""
        # Reentrant checkpointing computes graphs of its own within a backward; behind them the step is not over.
        self.nested |= (nested := torch._C._current_graph_task_id() != -1)
        return scale if nested else cast(Tensor, _Joined.apply(scale, self._node))

    def check_over(self) -> None:
        """Refuse to go on if the last micro-batch came to its end without the leftover."""
        left = [layer for layer in self.waiting if layer.waits]
        if self.nested and left:
            raise ValueError(
                f"a layer of {left[0].category!r} had no part in the last micro-batch, and its gradient was lost: "
                "reentrant checkpointing cannot tell. Take use_reentrant=False, or leave frod.accumulating out."
            )


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scale: Tensor, node: Tensor) -> Tensor:
        return scale.view_as(scale)

    @staticmethod
    def backward(ctx: Any, d_scale: Tensor) -> tuple[Tensor, None]:
        return d_scale, None


class _Leftover(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, step: Step, *trained: Tensor) -> Tensor:
        ctx.step = step
        return start.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        step: Step = ctx.step
        for layer in step.layers:
            layer.step = None
        gradients: list[Tensor | None] = []
        for layer in step.waiting:
            if layer.waits and in_pieces(layer.scale):
                raise ValueError(
                    f"a layer of {layer.category!r} had no part in the last micro-batch of a step; with FSDP2 its "
                    "gradient cannot be taken up then. Leave frod.accumulating out for a model that skips layers."
                )
            gradients += layer.leftover()
        return None, None, *gradients
