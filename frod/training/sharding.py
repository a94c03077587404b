"""FSDP2: a model in pieces, one in each process, and its state and the optimiser's in one piece for a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from frod.method.wrappers import full_tensor, is_sharded


def shard(model: nn.Module, device: torch.device, processes: int) -> None:
    """Cut the model up in place, block by block; groups for an optimiser are made after.

    No policy of mixed precision goes with it, as it would round FRoD's lambda; autocast does what it would do.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes,))
    for part in [*blocks(model), model]:
        fully_shard(part, mesh=mesh)


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the like parts that hold most of the parameters: a transformer's blocks; none where there are none."""
    rows = [
        list(module)
        for module in model.modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1 and len(set(map(type, module))) == 1
    ]
    return max(rows, key=lambda row: sum(p.numel() for part in row for p in part.parameters()), default=[])


def reshard(model: nn.Module) -> None:
    """Put away the whole weights that a forward pass has left: what is read or written then are the pieces."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return them in one piece, those that were in pieces on the CPU. All processes have to ask."""
    return {name: full_tensor(tensor).cpu() if is_sharded(tensor) else tensor for name, tensor in tensors.items()}


def whole_optimiser(optimiser: Any) -> dict[str, Any]:
    """Return the optimiser's state_dict in one piece: the one it would have in one process."""
    state = optimiser.state_dict()
    return state | {"state": {i: whole_tensors(moments) for i, moments in state["state"].items()}}


def load_optimiser(optimiser: Any, stored: dict[str, Any]) -> None:
    """Load what `whole_optimiser` gave into the optimiser of parameters that may be in pieces."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state = {i: {name: _like(t, parameters[i]) for name, t in of.items()} for i, of in stored["state"].items()}
    optimiser.load_state_dict(stored | {"state": state})


def _like(tensor: torch.Tensor, parameter: Any) -> torch.Tensor:
    """A moment of a parameter, cut up as that is; the count of steps stays as it is."""
    if not is_sharded(parameter) or tensor.shape != parameter.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)
