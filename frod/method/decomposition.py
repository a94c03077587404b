"""The joint decomposition of the weights of one category: W_i = U_i diag(lambda_i) V^T with one V for all layers.

Definition (Q R = stacked weights, T = mean_i (Q_i^T Q_i + ridge I)^-1 = E tau E^T, V = R^T E) is the higher-order
generalised SVD of arXiv 2102.09822 as FRoD uses it. It is computed without the stack:

* any square root P of H = sum_i W_i^T W_i gives the same V = P^T E, since P = O R turns T into O T O^T and E into O E;
* hence one pass over the layers gives P, a second one T, and only one weight is held at a time;
* H has the square of the condition number of the stack. Where that would cost digits, P comes from a sequential QR
  (R <- qr([R; W_i])) instead, which is as accurate as the QR of the whole stack;
* for m < n the inverse goes through the m x m Gram matrix (Woodbury).

Shapes: m out_features, n in_features, N layers. Weights come as W (m, n).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Weight = Callable[[], Tensor]

# Directions in which the whole stack is weaker than this, relative to its strongest, count as null: a basis that kept
# them at their size would not survive being stored in float32 (eps 6e-8).
NULL_DIRECTION = 1e-6


@dataclass(frozen=True, kw_only=True)
class SharedBasis:
    """What a category's layers share.

    Attributes
    ----------
    V : Tensor of shape (n, n)
        Invertible, not orthogonal (orthogonal where the stack has fewer rows than columns).
    rank : int
        How many directions of the input the weights use; n but for rank-deficient stacks.
    """

    V: Tensor
    rank: int


def shared_basis(weights: Sequence[Weight], *, ridge: float, dtype: torch.dtype = torch.float64) -> SharedBasis:
    """Compute the basis V that the layers of a category share.

    A null direction of the stack (see `NULL_DIRECTION`) leaves its column of V undetermined: there V gets the root
    mean square of the other directions' singular values as its scale, so that V can be inverted. W_i = B_i V^T then
    still holds exactly, with B_i (next to) zero in those columns. V is otherwise unique up to order and sign of its
    columns, where the eigenvalues of T are distinct: for three or more layers, save for equal or wide (m < n) ones.

    Parameters
    ----------
    weights : sequence of callables
        Each returns one layer's W (m, n); called up to three times, so that no two weights need be held at once.
    ridge : float
        pi > 0, what is added to Q_i^T Q_i before inverting; the papers' scripts use 1e-3.
    dtype : torch.dtype
        Working precision. In float32 the sequential QR is always taken.

    Returns
    -------
    SharedBasis
        V in `dtype`, on the device of the weights.
    """
    if not weights:
        raise ValueError("weights=[]: a category needs at least one layer.")
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be positive (1e-3 in the released settings).")
    rows = sum(weight().shape[0] for weight in weights)
    n = weights[0]().shape[1]
    if rows < n:
        stack = torch.cat([_finite(weight(), dtype) for weight in weights])
        _, sigma, Vh = torch.linalg.svd(stack, full_matrices=True)
        rank = int((sigma > NULL_DIRECTION * sigma[0]).sum())
        return SharedBasis(V=Vh.T.contiguous(), rank=rank)
    if len(weights) == 1:
        # T is a multiple of I and leaves E free; E = I with the singular vectors is a choice that rounding cannot turn.
        P, _, rank = _square_root_by_qr(weights, dtype)
        return SharedBasis(V=P.T.contiguous(), rank=rank)
    P, P_inv, rank = _square_root(weights, dtype)
    E = _eigenvectors(weights, P_inv, ridge)
    return SharedBasis(V=P.T @ E, rank=rank)


def coordinates(W: Tensor, V: Tensor, V_inv_t: Tensor, *, refine: bool = True) -> Tensor:
    """Express one layer in the shared basis: B = W V^-T, so that W = B V^T.

    Parameters
    ----------
    W : Tensor of shape (m, n)
    V, V_inv_t : Tensor of shape (n, n)
        The shared basis and the transpose of its inverse, in the working precision.
    refine : bool
        Take a step of refinement, which restores what an explicit inverse loses where V is badly conditioned. Of no
        use where eps * cond(V) is small, see `needs_refinement`.
    """
    W = W.to(V.dtype)
    B = W @ V_inv_t
    if refine:
        B.addmm_(torch.addmm(W, B, V.T, alpha=-1), V_inv_t)
    return B


def needs_refinement(V: Tensor, V_inv: Tensor) -> bool:
    """Whether `coordinates` would otherwise be off by more than about 1e-12 (in float64)."""
    return condition_number(V, V_inv) * torch.finfo(V.dtype).eps > 1e-11


def split(B: Tensor, *, lambda_: Tensor | None = None, cutoff: float = 1e-12) -> tuple[Tensor, Tensor]:
    """Split B into U diag(lambda), lambda being the lengths of its columns.

    Columns with lambda <= cutoff * max(lambda) carry no part of W. Their lambda is set to 0 and their column of U to 0
    (the released scripts leave it uninitialised): the reconstruction stays what it is, U = W V^-T diag(1/lambda) holds
    with 1/0 read as 0, and what is trained there has no effect instead of an arbitrary one.

    Parameters
    ----------
    B : Tensor of shape (m, n)
        From `coordinates`.
    lambda_ : Tensor of shape (n,), optional
        Use these instead of the lengths (those of a stored basis, so that U diag(lambda) stays what it was).

    Returns
    -------
    U : Tensor of shape (m, n)
        Columns of unit length, or zero.
    lambda_ : Tensor of shape (n,)
    """
    if lambda_ is None:
        lambda_ = B.norm(dim=0)
        lambda_ = torch.where(lambda_ > cutoff * lambda_.max(), lambda_, 0)
    lambda_ = lambda_.to(B)
    return torch.where(lambda_ > 0, B / lambda_, 0), lambda_


def reconstruction_error(W: Tensor, U: Tensor, lambda_: Tensor, V: Tensor) -> float:
    """Relative error of U diag(lambda) V^T in the Frobenius norm; 0 for a layer of zeros that is reproduced."""
    W = W.to(V.dtype)
    error = torch.addmm(W, U * lambda_, V.T, alpha=-1).norm().item()
    size = W.norm().item()
    return error / size if size else error


def condition_number(V: Tensor, V_inv: Tensor) -> float:
    """Condition number of V in the 1-norm; free, as the inverse is at hand."""
    return (torch.linalg.matrix_norm(V, 1) * torch.linalg.matrix_norm(V_inv, 1)).item()


def _finite(W: Tensor, dtype: torch.dtype) -> Tensor:
    W = W.to(dtype)
    if not torch.isfinite(W).all():
        raise ValueError("a target weight holds NaN or infinity: it has no decomposition. Check how it was loaded.")
    return W


def _square_root(weights: Sequence[Weight], dtype: torch.dtype) -> tuple[Tensor, Tensor, int]:
    """P and P^-1 with P^T P = H, and the numerical rank."""
    H: Tensor | None = None
    for weight in weights:
        W = _finite(weight(), dtype)
        H = W.T @ W if H is None else H.addmm_(W.T, W)
    assert H is not None
    n = H.shape[0]
    R, failed = torch.linalg.cholesky_ex(H, upper=True)
    if not failed:
        R_inv = torch.linalg.solve_triangular(R, torch.eye(n, dtype=dtype, device=R.device), upper=True)
        # Cholesky loses eps * cond^2. The 1-norm exceeds the spectral cond about tenfold: 1e-8 in float64 at the limit.
        if condition_number(R, R_inv) < 1e-3 / math.sqrt(torch.finfo(dtype).eps):
            return R, R_inv, n
    del H, R
    return _square_root_by_qr(weights, dtype)


def _square_root_by_qr(weights: Sequence[Weight], dtype: torch.dtype) -> tuple[Tensor, Tensor, int]:
    R: Tensor | None = None
    for weight in weights:
        W = weight().to(dtype)
        R = torch.linalg.qr(W if R is None else torch.cat([R, W]), mode="r").R
    assert R is not None
    _, sigma, Zh = torch.linalg.svd(R, full_matrices=False)
    n = Zh.shape[1]
    if sigma.numel() == 0 or sigma[0] == 0:
        eye = torch.eye(n, dtype=dtype, device=R.device)
        return eye, eye.clone(), 0
    kept = sigma > NULL_DIRECTION * sigma[0]
    rank = int(kept.sum())
    sigma = torch.where(kept, sigma, sigma[kept].square().mean().sqrt())
    return sigma[:, None] * Zh, Zh.T / sigma, rank


def _eigenvectors(weights: Sequence[Weight], P_inv: Tensor, ridge: float) -> Tensor:
    """E of T = mean_i (Q_i^T Q_i + ridge I)^-1, ascending as in T.

    By Woodbury (Q^T Q + ridge I)^-1 = (I - Q^T (ridge I + Q Q^T)^-1 Q) / ridge, so for m < n it is the sum of
    Q^T (ridge I + Q Q^T)^-1 Q that is gathered, with its sign turned; a shift and a positive factor move no
    eigenvector.
    """
    n = P_inv.shape[0]
    T = torch.zeros_like(P_inv)
    for weight in weights:
        Q = weight().to(P_inv.dtype) @ P_inv
        m = Q.shape[0]
        if m < n:
            gram = torch.addmm(ridge * torch.eye(m, dtype=Q.dtype, device=Q.device), Q, Q.T)
            Y = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), Q, upper=False)
            T.addmm_(Y.T, Y, alpha=-1 / ridge)
        else:
            gram = torch.addmm(ridge * torch.eye(n, dtype=Q.dtype, device=Q.device), Q.T, Q)
            T += torch.cholesky_inverse(torch.linalg.cholesky(gram))
            T.diagonal().sub_(1 / ridge)
    T = (T + T.T) / 2
    return torch.linalg.eigh(T).eigenvectors
