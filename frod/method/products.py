"""Products with diag(d) + S, the small sparse matrix between U and V^T, without writing it out.

Both kernels read whole rows of a dense factor, so the basis is kept transposed (V^T and U^T, contiguous). They were the
quickest of those measured on the CPU (CSR and COO products, gathers, dense): an embedding bag with weights *is* a
sparse combination of rows, and `sampled_addmm` computes the entries of a product at the pattern only.

Shapes: n width, k off-diagonal entries, p = n + k places including the diagonal, w width of a dense factor.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SharedBasis(nn.Module):
    """V^T and V^-T, (n, n) each, of a category: one object, a submodule of each of its layers.

    Buffers that several layers held themselves would be copied once per layer by `model.to(device)`. They belong in no
    checkpoint: they come with the basis. A later cast of the model leaves them alone.
    """

    Vt: Tensor
    V_inv_t: Tensor

    def __init__(self, V: Tensor, V_inv_t: Tensor) -> None:
        super().__init__()
        self.register_buffer("Vt", V.T.contiguous(), persistent=False)
        self.register_buffer("V_inv_t", V_inv_t.contiguous(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SharedBasis":
        return super()._apply(on_device_only(fn), recurse)


class SparsePattern(nn.Module):
    """Where S may be non-zero: one object per category and adapter, and the products with diag(d) + S.

    Rows and columns (k,), int64, are distinct places off the diagonal; values of S come in this order.
    """

    crow: Tensor
    columns: Tensor
    diagonal: Tensor
    off_diagonal: Tensor
    crow_t: Tensor
    columns_t: Tensor
    order_t: Tensor

    def __init__(self, n: int, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        k = rows.numel()
        every = torch.arange(n, device=rows.device)
        # The diagonal is merged into the pattern, so that one sparse product serves both lambda and S.
        all_rows, all_columns = torch.cat([rows, every]), torch.cat([columns, every])
        order = torch.argsort(all_rows * n + all_columns)
        places = torch.empty_like(order)
        places[order] = torch.arange(n + k, device=order.device)
        all_rows, all_columns = all_rows[order], all_columns[order]
        order_t = torch.argsort(all_columns * n + all_rows)
        buffers = {
            "crow": _offsets(all_rows, n),
            "columns": all_columns,
            "diagonal": places[k:],
            "off_diagonal": places[:k],
            "crow_t": _offsets(all_columns, n),
            "columns_t": all_rows[order_t],
            "order_t": order_t,
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def k(self) -> int:
        """Number of off-diagonal entries."""
        return self.off_diagonal.numel()

    def places(self) -> tuple[Tensor, Tensor]:
        """Rows and columns (k,) of the off-diagonal entries, in the order in which their values are kept."""
        n, p = self.crow.numel() - 1, self.columns.numel()
        rows = torch.repeat_interleave(torch.arange(n, device=self.crow.device), self.crow.diff(), output_size=p)
        return rows[self.off_diagonal], self.columns[self.off_diagonal]

    def values(self, d: Tensor, s: Tensor) -> Tensor:
        """Interleave diagonal (n,) and off-diagonal (k,) values as the pattern (p,) has them."""
        merged = d.new_empty(self.columns.numel())
        merged[self.diagonal] = d
        merged[self.off_diagonal] = s.to(d.dtype)
        return merged

    def times(self, values: Tensor, dense: Tensor) -> Tensor:
        """(diag + S) @ dense, for dense (n, w)."""
        return F.embedding_bag(self.columns, dense, self.crow[:-1], mode="sum", per_sample_weights=values)

    def transposed_times(self, values: Tensor, dense: Tensor) -> Tensor:
        """(diag + S)^T @ dense, for dense (n, w)."""
        weights = values[self.order_t]
        return F.embedding_bag(self.columns_t, dense, self.crow_t[:-1], mode="sum", per_sample_weights=weights)

    def sample(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Entries of left @ right^T, both (n, w), on the diagonal (n,) and at the pattern (k,)."""
        _quiet_csr()
        n = left.shape[0]
        zero = left.new_zeros(self.columns.numel())
        at = torch.sparse_csr_tensor(self.crow, self.columns, zero, (n, n), check_invariants=False)
        found = torch.sparse.sampled_addmm(at, left, right.T, beta=0.0).values()
        return found[self.diagonal], found[self.off_diagonal]


def on_device_only(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Have `model.to(...)`, `.half()` and the like move a tensor but not change its dtype."""

    def move(tensor: Tensor) -> Tensor:
        moved = fn(tensor)
        return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

    return move


def _offsets(sorted_rows: Tensor, n: int) -> Tensor:
    counts = torch.bincount(sorted_rows, minlength=n)
    return F.pad(counts.cumsum(0), (1, 0))


@cache
def _quiet_csr() -> None:
    """Have torch say once, unheard, that its CSR layout is in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))
