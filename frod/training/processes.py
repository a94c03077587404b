"""The processes that share one training, seen from one of them. A training of one process is the case of one.

Each batch is split over them, so that budget, order of examples and loss are those of one process. accelerate averages
the gradients (DistributedDataParallel). With `sharded`, FSDP2 keeps a piece of every weight, gradient and moment in
each: by torch's own fully_shard, since accelerate's plugin refuses a machine without GPUs.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed

from frod.config import Training
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
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        gpus = torch.cuda.device_count()
        if 0 < gpus < count:
            raise ValueError(
                f"processes is {count}, but there are {gpus} GPUs: each process takes one. Ask for as many, or hide "
                "the GPUs (CUDA_VISIBLE_DEVICES=) to train on the CPU"
            )
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if os.path.exists("/proc") else "lo0")
        store = distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            count,
            is_master=rank == 0,
            timeout=LONGEST_WAIT,
            master_listen_fd=launch.listening_socket() if rank == 0 else None,
        )
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=LONGEST_WAIT)
        return cls(rank=rank, world_size=count, sharded=sharded)

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def seed(self, seed: int) -> None:
        """Seed the generators: in the first process as in the only one, in the others with streams of their own."""
        torch.manual_seed(seed if self.is_main else stream(seed, f"process {self.rank}"))

    def accelerator(self, training: Training) -> Any:
        """Return accelerate's Accelerator in the precision asked for: `auto` is bfloat16 on a GPU, else float32."""
        from accelerate import Accelerator, DistributedDataParallelKwargs

        cuda = torch.cuda.is_available()
        half = training.precision == "bfloat16" or (training.precision == "auto" and cuda)
        several: dict[str, Any] = {}
        if self.world_size > 1:
            # A weight that no loss reaches has no gradient, as with one process; DDP would wait for it.
            several["kwargs_handlers"] = [DistributedDataParallelKwargs(find_unused_parameters=True)]
            several["cpu"] = not cuda  # not told, it would take each process for the only one
        return Accelerator(mixed_precision="bf16" if half else "no", **several)

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
    def no_exchange(self, accelerator: Any, model: Any) -> Iterator[None]:
        """Let gradients add up in each process: for all micro-batches of a step but the last."""
        if not self.sharded:
            with accelerator.no_sync(model):
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
