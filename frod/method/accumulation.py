"""Gradient accumulation that forms a weight, and projects its gradient, once per optimiser step.

Under `accumulating` a layer sums the gradients of its weight, to project them once, in the backward of the last
micro-batch. A layer that has no part in that one (LayerDrop, experts, branches) would never come to it. So the last
micro-batch's graph gets a node behind those of its layers, or of its output if there are none, that takes what is left.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_map_only

from frod.method.linear import FrodLinear, all_layers
from frod.method.wrappers import is_ddp, is_sharded


@contextmanager
def accumulating(model: nn.Module, micro_batches: int = 2) -> Iterator[None]:
    """Around the forward and backward of every micro-batch of an optimiser step but the last.

    The last one runs outside. It goes together with `no_sync` of a distributed wrapper, and does nothing to a model
    without adapters. The gradients are those of the joined batch, up to the order of summation, also of a layer that
    the last micro-batch does not use.

    The model, or its wrapper, is what is called in the last micro-batch. `micro_batches` counts the last one, too: the
    planner adds their tokens up. ValueError if a layer had no part in the last micro-batch of the step before and its
    gradient could not be taken up: with reentrant gradient checkpointing of a model that is not called as a whole; and
    at the end of that micro-batch with FSDP2.
    """
    layers = all_layers(model)
    for before in {layer.step for layer in layers if layer.step is not None}:
        before.check_over()
        before.end()
    for layer in layers:
        layer.accumulating, layer.micro_batches = True, micro_batches
    try:
        yield
    except BaseException:
        for layer in layers:
            layer.drop_cache()
        raise
    finally:
        step = Step(model, layers) if any(layer.waits for layer in layers) else None
        for layer in layers:
            layer.accumulating, layer.micro_batches, layer.step = False, 1, step


class Step:
    """An optimiser step of which all micro-batches but the last are done, and the layers that wait for that."""

    def __init__(self, model: nn.Module, layers: Sequence[FrodLinear]) -> None:
        self.layers, self.joined, self.nested = layers, False, False
        self.waiting = [layer for layer in layers if layer.waits]
        start = layers[0].lambda_0.new_zeros((), requires_grad=True)
        trained = [tensor for layer in self.waiting for tensor in (layer.scale, layer.rotation)]
        with torch.enable_grad():
            self._node = cast(Tensor, _Leftover.apply(start, self, *trained))
        # DistributedDataParallel looks for what takes part in a graph before its own hooks run.
        inner = cast(nn.Module, model.module) if is_ddp(model) else model
        self._hook = inner.register_forward_hook(self._at_output)

    def join(self, tensor: Tensor) -> Tensor:
        """The same numbers, in a graph of which the leftover is part."""
        if torch._C._current_graph_task_id() != -1:
            # Reentrant checkpointing computes graphs of its own within a backward; behind them the step is not over.
            self.nested = True
            return tensor
        self.joined = True
        return cast(Tensor, _Joined.apply(tensor, self._node))

    def _at_output(self, module: nn.Module, args: Any, output: Any) -> Any:
        if self.joined or not torch.is_grad_enabled():
            return output
        return tree_map_only(Tensor, lambda y: self.join(y) if y.requires_grad else y, output)

    def end(self) -> None:
        """Have no layer look for this step any more."""
        self._hook.remove()
        for layer in self.layers:
            layer.step = None

    def check_over(self) -> None:
        """Refuse to go on if the last micro-batch came to its end without the leftover."""
        left = [layer for layer in self.waiting if layer.waits]
        if self.nested and left:
            raise ValueError(
                f"a layer of {left[0].category!r} had no part in the last micro-batch, and its gradient was lost. "
                "Under reentrant checkpointing call the model as a whole, or take use_reentrant=False."
            )


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, node: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Leftover(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, step: Step, *trained: Tensor) -> Tensor:
        ctx.step = step
        return start.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        step: Step = ctx.step
        step.end()
        gradients: list[Tensor | None] = []
        for layer in step.waiting:
            if layer.waits and is_sharded(layer.scale):
                raise ValueError(
                    f"a layer of {layer.category!r} had no part in the last micro-batch of a step; with FSDP2 its "
                    "gradient cannot be taken up then. Leave frod.accumulating out for a model that skips layers."
                )
            gradients += layer.leftover()
        return None, None, *gradients
