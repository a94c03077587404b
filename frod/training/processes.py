"""The processes that share one training, seen from one of them. A training of one process is the case of one.

Each batch is split over them, so that budget, order of examples and loss are those of one process.
DistributedDataParallel averages the gradients. With `sharded`, FSDP2 keeps a piece of every weight, gradient and moment
in each.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from frod.training import launch
from frod.training.seeds import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_WAIT = timedelta(minutes=30)  # for one another: the first one writes checkpoints meanwhile


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which of how many processes this one is, and what they do together."""

    rank: int = 0
    world_size: int = 1
    sharded: bool = False

    @classmethod
    def join(cls, *, sharded: bool) -> Processes:
        """Meet the others that `launch.start` started; where it started none, this is the only one.

        ValueError where there are GPUs, but fewer than processes; or one process is to shard.
        """
        if not launch.is_worker():
            if sharded:
                raise ValueError("--sharded: needs processes to spread the model over; give --processes 2 or more")
            return cls()
        gpus, here = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
        if 0 < gpus < here:
            raise ValueError(
                f"processes is {here} on this machine, but there are {gpus} GPUs: each process takes one. Ask for as "
                "many, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on the CPU"
            )
        if gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        if os.environ["GROUP_WORLD_SIZE"] == "1":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if os.path.exists("/proc") else "lo0")
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=LONGEST_WAIT)
        return cls(rank=distributed.get_rank(), world_size=distributed.get_world_size(), sharded=sharded)

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def seed(self, seed: int) -> None:
        """Seed the generators: in the first process as in the only one, in the others with streams of their own."""
        torch.manual_seed(seed if self.is_main else stream(seed, f"process {self.rank}"))

    @property
    def device(self) -> torch.device:
        """The GPU of this process, where there are GPUs; Apple's for one process alone; else the CPU."""
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if self.world_size == 1 and torch.backends.mps.is_available() else "cpu")

    def wrap(self, model: nn.Module) -> nn.Module:
        """Put a model on the device, and in what averages its gradients; a sharded one is and does so already."""
        if self.sharded:
            return model
        model.to(self.device)
        # A weight that no loss reaches has no gradient, as with one process; DDP would wait for it.
        return model if self.world_size == 1 else DistributedDataParallel(model, find_unused_parameters=True)

    def shard(self, examples: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return this process's part of some examples, and whether it counts.

        Where there are fewer examples than processes, some get the first one, which does not count for them: they have
        to take part in the exchange all the same.
        """
        mine = np.array_split(examples, self.world_size)[self.rank]
        return (mine, True) if len(mine) else (examples[:1], False)

    def all_reduce_sum(self, numbers: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, on the CPU; the same to the bit in all of them."""
        numbers = numbers.cpu()
        if self.world_size > 1:
            distributed.all_reduce(numbers)
        return numbers

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Return what each process has: tensors on the CPU, of one shape."""
        if self.world_size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.world_size)]
        distributed.all_gather(found, tensor)
        return found

    def all_true(self, decision: bool) -> bool:
        """Return what the first process has decided."""
        if self.world_size == 1:
            return decision
        told = torch.tensor(int(decision))
        distributed.broadcast(told, 0)
        return bool(told)

    @contextmanager
    def no_exchange(self, model: Any) -> Iterator[None]:
        """Let gradients add up in each process: for all micro-batches of a step but the last."""
        if not self.sharded:
            with model.no_sync() if self.world_size > 1 else nullcontext():
                yield
            return
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)

    def facts(self) -> dict[str, Any]:
        """What a record says of them; threads are those of each."""
        cuda = torch.cuda.is_available()
        return {
            "count": self.world_size,
            "sharded": self.sharded,
            "backend": None if self.world_size == 1 else "nccl" if cuda else "gloo",
            "gpus": self.world_size if cuda else 0,
            "threads": torch.get_num_threads(),
        }


SINGLE_PROCESS = Processes()
