"""FSDP2: a model in pieces, one in each process; and what of it and its optimiser is in pieces, in files (DCP)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from frod import files
from frod.method.wrappers import is_sharded

MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW


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


def pieces(trained: dict[str, torch.Tensor], optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What is in pieces of the trained tensors and of the optimiser's moments, by names of their own."""
    found = {f"model.{name}": tensor for name, tensor in trained.items()}
    for i, moments in optimiser.state_dict()["state"].items():
        found |= {f"optimiser.{i}.{name}": tensor for name, tensor in moments.items()}
    return {name: tensor for name, tensor in found.items() if is_sharded(tensor)}


def whole(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of some tensors that are not in pieces."""
    return {name: tensor for name, tensor in tensors.items() if not is_sharded(tensor)}


def whole_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state_dict without what is in pieces."""
    state = optimiser.state_dict()
    return state | {"state": {i: whole(moments) for i, moments in state["state"].items()}}


def load_optimiser(optimiser: torch.optim.Optimizer, stored: dict[str, Any]) -> None:
    """Load what `whole_optimiser` gave. Moments that are in pieces are 0 then, for `load` to fill."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state = {
        i: moments | {name: torch.zeros_like(parameters[i]) for name in MOMENTS if is_sharded(parameters[i])}
        for i, moments in stored["state"].items()
    }
    optimiser.load_state_dict(stored | {"state": state})


def save(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors that are in pieces, each process its own to a file of its own. All processes call this.

    As safetensors: DCP's usual format has a pickle, which runs code where someone has put another in its place.
    """
    from torch.distributed import checkpoint as dcp

    try:
        dcp.save(tensors, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except dcp.CheckpointException as error:  # in all processes, whichever it befell
        fault, _ = next(iter(error.failures.values()))
        raise fault from error


def load(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Fill tensors that are in pieces with what `save` wrote. All processes call this."""
    from torch.distributed import checkpoint as dcp

    dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))


def digest(folder: Path, rank: int) -> torch.Tensor:
    """sha256 of what the process of this rank has written, as 32 numbers."""
    hashes = [files.sha256(path) for path in sorted(folder.glob(f"shard-{rank + 1:05d}-*"))]
    return torch.tensor(list(hashlib.sha256("".join(hashes).encode()).digest()), dtype=torch.uint8)
