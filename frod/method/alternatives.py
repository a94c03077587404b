"""Bases to compare the shared one with: a layer's own singular vectors, and directions that know no weights.

W_i = U_i diag(lambda_i) V^T holds for any invertible V, with U_i diag(lambda_i) = W_i V^-T. So V alone tells them
apart, and all else of the method, the identity at the start included, is as on the shared basis.

Shapes: m out_features, n in_features.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from frod.method.decomposition import SharedBasis, Weight, all_right_singular_vectors, shared_basis

BasisKind = Literal["shared", "layer_svd", "random"]

RIDGE = 1e-3


class Decompose(Protocol):
    """Computes V of a category from its weights; only the joint decomposition takes another dtype than float64."""

    def __call__(self, weights: Sequence[Weight], /, *, dtype: torch.dtype) -> SharedBasis: ...


def check(kind: str, ridge: float | None = None) -> tuple[BasisKind, float | None]:
    """Return kind and ridge, by default the released settings'; ValueError if they are none, or do not go together."""
    for known in get_args(BasisKind):
        if kind == known == "shared":
            return known, RIDGE if ridge is None else ridge
        if kind == known and ridge is None:
            return known, None
        if kind == known:
            raise ValueError(f"ridge={ridge} is of kind='shared', and kind={kind!r} does without; leave it out.")
    raise ValueError(f"kind={kind!r} is none of {', '.join(get_args(BasisKind))}.")


def decomposition_of(kind: BasisKind, category: str, ridge: float | None) -> Decompose:
    """Return what computes V of a category."""
    if ridge is not None:
        return partial(shared_basis, ridge=ridge)
    if kind == "random":
        return lambda weights, dtype: drawn(category, weights[0]())
    return lambda weights, dtype: all_right_singular_vectors(weights)


def drawn(category: str, W: Tensor) -> SharedBasis:
    """V (n, n) orthogonal, uniformly distributed; it follows from the category's name and W's width n.

    Q of the QR of normal numbers, with the signs by which R's diagonal is positive (Mezzadri, arXiv math-ph/0609050).
    """
    n = W.shape[1]
    seed = hashlib.sha256(f"frod random basis 1\n{category}\n{n}".encode()).digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(seed, "little") % 2**63)
    Q, R = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64, device="cpu"))
    return SharedBasis(V=(Q * R.diagonal().sign()).to(W.device), rank=n, error=0.0)
