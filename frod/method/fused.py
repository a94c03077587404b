"""Where adapted layers stand in a model: in the place of their targets, or as parts of a fused q, k and v.

Hooks of a layer (features, profilers, device placement) go with its place. The registers themselves change hands, so
that the handle of a hook still removes it.

Shapes: n in_features.
"""

from functools import partial, update_wrapper
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frod.method.linear import FrodLinear
from frod.method.targets import ROLES, FusedSlice, fused_slice, is_fused

_REGISTERS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_is_full_backward_hook",
)


class FrodFused(nn.Module):
    """A layer that holds q, k and v in one weight, with an adapter on each or some of them, by role.

    Three products with a third of the weight each take the place of one: the outputs at the start are those of the
    frozen layer up to the order in which the matrix product of the platform adds.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base

    @property
    def weight(self) -> Tensor:
        """W' (3 m, n) of q, k and v, for code that reads it instead of calling the layer: see `FrodLinear.weight`."""
        adapted = [self._modules.get(role) or fused_slice(self.base, role) for role in ROLES]
        return torch.cat([cast(Tensor, layer.weight) for layer in adapted])

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias (3 m,)."""
        return cast("Tensor | None", self.base.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x of shape (..., n)."""
        if getattr(self, "_is_replica", False):  # torch copies modules, and the parts of this one share a weight
            raise ValueError(
                "nn.DataParallel leaves the weight of a fused q, k and v with adapters on the first GPU; use "
                "DistributedDataParallel (torchrun), or let the process see one GPU (CUDA_VISIBLE_DEVICES=0)."
            )
        return torch.cat([self._role(role, x) for role in ROLES], dim=-1)

    def _role(self, role: str, x: Tensor) -> Tensor:
        adapted = self._modules.get(role)
        if adapted is not None:
            return cast(Tensor, adapted(x))
        part = fused_slice(self.base, role)
        return F.linear(x, part.weight, part.bias)


def install(model: nn.Module, name: str, layer: FrodLinear) -> None:
    """Put an adapted layer in the place of the target it was made from."""
    if not isinstance(layer.base, FusedSlice):
        stand_in(layer.base, layer, name)
        model.set_submodule(name, layer.train(layer.base.training))
        return
    outer, _, role = name.rpartition(".")
    fused = model.get_submodule(outer)
    if not isinstance(fused, FrodFused):
        fused = FrodFused(layer.base.layer).train(fused.training)
        stand_in(fused.base, fused, outer)
        model.set_submodule(outer, fused)
    fused.add_module(role, layer.train(fused.training))


def remove(model: nn.Module, name: str) -> None:
    """Put the frozen layer back in the place of an adapted one."""
    outer = name.rpartition(".")[0]
    fused = model.get_submodule(outer)
    if isinstance(fused, FrodFused):
        hand_over(fused, fused.base)
        model.set_submodule(outer, fused.base.train(fused.training))
    if isinstance(fused, FrodFused) or is_fused(outer, fused):
        return  # with the first of its parts, all of a fused layer went
    layer = model.get_submodule(name)
    if isinstance(layer, FrodLinear):
        base = cast(nn.Module, layer.base)
        hand_over(layer, base)
        model.set_submodule(name, base.train(layer.training))


def hand_over(here: nn.Module, there: nn.Module) -> None:
    """Have the hooks of a module called around another one instead, which has none; `here` is left without."""
    mine, theirs = here.__dict__, there.__dict__
    for register in _REGISTERS:
        mine[register], theirs[register] = theirs[register], mine[register]
    if "_hf_hook" in mine:  # accelerate's: a forward around the class's own, which takes the module as an argument
        around = mine.pop("forward")
        theirs["_hf_hook"], theirs["_old_forward"] = mine.pop("_hf_hook"), there.forward
        theirs["forward"] = update_wrapper(partial(around.func, there), mine.pop("_old_forward"))


def stand_in(base: nn.Module, adapted: nn.Module, name: str) -> None:
    """Have the hooks of a layer called around the adapted one, and refuse calls of the layer itself from now on.

    `hand_over` the other way round ends both.
    """
    hand_over(base, adapted)
    base.register_forward_pre_hook(partial(_passed_by, name))


def _passed_by(name: str, base: nn.Module, args: Any) -> None:
    raise ValueError(
        f"{name!r} was called past its adapter: the model keeps the layer in a second place, such as a list. "
        "Leave it out of the targets, or have the model look it up by its name."
    )
