"""A CUDA device that is none: its tensors have shape, dtype and place, and no numbers, by torch's FakeTensorMode.

What lies on the processor is computed as ever. An operation on tensors of both is an error, as on a GPU. Indices may
lie on either, so that tests also look where all tensors are. What is read from the device is made up: True, 0, 1.0,
zeros.

What it cannot show: numbers; autograd's engine, sparse CSR and its `sampled_addmm`, which want a driver; kernels that
are missing on a GPU, or differ there; streams, memory, and whether a copy waits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
APART = "found (two different|at least two) devices|to be on the same device"
"""What torch says of an operation on tensors of both."""
READ = torch.ops.aten._local_scalar_dense.default
COPY = torch.ops.aten._to_copy.default


class _Parted(TorchDispatchMode):
    """On the processor real tensors, on the device fake ones: those of the mode below this one."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.fake = fake

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, FakeTensor) or _is_cuda(leaf) for leaf in leaves):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func is READ:
            return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 0
        if func is COPY and torch.device(kwargs.get("device") or CUDA).type == "cpu":
            with unset_fake_temporarily():
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        found = func(*args, **kwargs)
        # A module that moves swaps its parameters, which torch refuses where anything else remembers them.
        self.fake.fake_tensor_converter.meta_converter.tensor_memo.clear()
        return found


def _is_cuda(leaf):
    return isinstance(leaf, torch.device) and leaf.type == "cuda"


@contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Have the device within the block."""
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, _Parted(fake):
        yield CUDA


def places(tensors) -> set[str]:
    """Kinds of devices that tensors lie on."""
    return {tensor.device.type for tensor in tensors}
