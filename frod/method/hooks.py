"""Hooks of a layer, as the layer changes places with an adapted one: features, profilers, device placement.

The registers themselves change hands, so that the handle of a hook still removes it.
"""

from functools import partial, update_wrapper
from typing import Any

from torch import nn

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
