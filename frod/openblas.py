"""Matrix products on the CPU by numpy's OpenBLAS instead of MKL, in every place where torch computes one.

MKL chooses its kernels by the processor's maker; OpenBLAS keeps to those that OPENBLAS_CORETYPE names. Below autograd,
so that forward and backward passes of any model go through here.

Shapes: a (..., m, k), b (..., k, n).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, distributed

HALF = (torch.float16, torch.bfloat16)


@cache
def install() -> torch.library.Library:
    """Take the place of torch's own kernels, for the rest of this process."""
    library = torch.library.Library("aten", "IMPL")
    for name in ("mm", "bmm"):
        library.impl(name, product, "CPU", allow_override=True)
        library.impl(f"{name}.out", _product_into, "CPU", allow_override=True)
    for name in ("addmm", "baddbmm"):
        library.impl(name, sum_and_product, "CPU", allow_override=True)
        library.impl(f"{name}.out", _sum_into, "CPU", allow_override=True)
        library.impl(f"{name}_", _sum_in_place, "CPU", allow_override=True)
    return library


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b; numbers of 16 bits are multiplied and added in 32."""
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected factors of one dtype, but they are {a.dtype} and {b.dtype}")
    if a.dtype in HALF:
        return torch.from_numpy(np.matmul(_array(a.float()), _array(b.float()))).to(a.dtype)
    return torch.from_numpy(np.matmul(_array(a), _array(b)))


def sum_and_product(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta c + alpha a @ b; c may be broadcast, and is not read where beta is 0."""
    found = product(a, b)
    if alpha != 1:
        found.mul_(alpha)
    return found.add_(c, alpha=beta) if beta else found


def _product_into(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    return _fill(out, product(a, b))


def _sum_into(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor) -> Tensor:
    return _fill(out, sum_and_product(c, a, b, beta=beta, alpha=alpha))


def _sum_in_place(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return c.copy_(sum_and_product(c, a, b, beta=beta, alpha=alpha))


def _fill(out: Tensor, found: Tensor) -> Tensor:
    if out.shape != found.shape:
        out.resize_(found.shape)
    return out.copy_(found)


def _array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory as BLAS can read it: by rows or by columns, else copied; numpy would do without BLAS."""
    (m, n), (down, across) = tensor.shape[-2:], tensor.stride()[-2:]
    if not ((across == 1 and down >= n) or (down == 1 and across >= m)):
        tensor = tensor.contiguous()
    tensor = tensor.detach()
    if distributed.is_initialized():
        # torch does not free what numpy has seen, and FSDP2 frees whole weights: numpy sees a second handle of them.
        tensor = torch.from_dlpack(tensor).as_strided(tensor.shape, tensor.stride())
    return tensor.numpy()
