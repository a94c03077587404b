"""What wraps a model: DistributedDataParallel, torch.compile, and FSDP2, which shards parameters.

A shard (DTensor) is told by its method: the import of its class takes a second.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

_DDP_IGNORES = "_ddp_params_and_buffers_to_ignore"  # torch has no public name for it; its own libraries set it, too


def unwrapped(model: nn.Module) -> nn.Module:
    """The model that DistributedDataParallel and torch.compile wrapped; FSDP2 leaves it where it is."""
    while True:
        inner = model.module if is_ddp(model) else model._modules.get("_orig_mod")
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def is_ddp(model: nn.Module) -> bool:
    """Whether this is DistributedDataParallel's wrapper."""
    return isinstance(model, nn.parallel.DistributedDataParallel)


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process has a shard of the tensor only."""
    return hasattr(tensor, "full_tensor")


def is_distributed(model: nn.Module) -> bool:
    """Whether a wrapper for several processes has taken note of which parameters train."""
    return any(map(is_ddp, model.modules())) or any(is_sharded(parameter) for parameter in model.parameters())


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole tensor. All processes have to ask for it."""
    tensor = tensor.detach()
    return cast(Tensor, cast(Any, tensor).full_tensor()) if is_sharded(tensor) else tensor


@torch.no_grad()
def copy_into(tensor: Tensor, values: Tensor) -> None:
    """Copy values, which every process has, into a tensor or the shard of it that is here."""
    if is_sharded(tensor):
        from torch.distributed.tensor import distribute_tensor

        mine = cast(Any, tensor)
        # No source: each process cuts its shard from its own copy, and nothing is sent.
        piece = distribute_tensor(values.detach(), mine.device_mesh, mine.placements, src_data_rank=None)
        mine.to_local().copy_(piece.to_local())
    else:
        tensor.copy_(values)


def ddp_leaves_alone(model: nn.Module) -> set[str]:
    """Names of what DistributedDataParallel does not send from process to process; set by `set_ddp_leaves_alone`."""
    return set(getattr(model, _DDP_IGNORES, ()))


def set_ddp_leaves_alone(model: nn.Module, names: set[str]) -> None:
    """Have DistributedDataParallel, once it wraps this model, not send these parameters and buffers."""
    if names:
        setattr(model, _DDP_IGNORES, sorted(names))
    elif hasattr(model, _DDP_IGNORES):
        delattr(model, _DDP_IGNORES)
