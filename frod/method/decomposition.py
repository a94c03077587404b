"""The joint decomposition of the weights of one category: W_i = U_i diag(lambda_i) V^T with one V for all layers.

Definition (Q R = stacked weights, T = mean_i (Q_i^T Q_i + ridge I)^-1 = E tau E^T, V = R^T E) is the higher-order
generalised SVD of arXiv 2102.09822 as FRoD uses it. It is computed without the stack:

* any square root P of H = sum_i W_i^T W_i gives the same V = P^T E, since P = O R turns T into O T O^T and E into O E;
* hence one pass over the layers gives P, a second one T, and only one weight is held at a time;
* H has the square of the condition number of the stack. Where that would cost digits, P comes from a sequential QR
  (R <- qr([R; W_i])) instead, which is as accurate as the QR of the whole stack;
* Q_i = W_i P^-1 is a triangular solve, and of the symmetric products only one half is computed;
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

# Cholesky's P loses eps * cond(P)^2: 1e-8 at this limit.
CHOLESKY_SERVES = 1e-4 / math.sqrt(torch.finfo(torch.float64).eps)

# Blocks of a symmetric product below this width are computed whole.
BLOCK = 512

# Eigenvalues of T that are all within this share of the largest are equal: rounding makes them differ by some 1e-13.
DEGENERATE = 1e-8

# In float32 they differ by some 1e-7, and more where the stack is badly conditioned; below this, float64 tells.
MAYBE_DEGENERATE = 1e-3

PROBES = 8


@dataclass(frozen=True, kw_only=True)
class SharedBasis:
    """V (n, n), invertible, orthogonal only where the stack has fewer rows than columns, and what it is worth.

    `rank` is how many directions of the input the weights use; n but for rank-deficient stacks. `error` is the backward
    error of the eigenvectors: the T' that E diagonalises differs from T by this share, as measured on random vectors;
    in float32 with the error of T itself against float64, measured on the first layer. `degenerate`: T is a multiple of
    the identity, and V is the choice that `shared_basis` states.
    """

    V: Tensor
    rank: int
    error: float
    degenerate: bool = False


@dataclass(frozen=True, kw_only=True)
class Root:
    """A square root P (n, n) of H = sum_i W_i^T W_i, P^T P = H; upper triangular where `inverse` is None."""

    P: Tensor
    rank: int
    inverse: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "Root":
        """The same in another precision."""
        return Root(
            P=self.P.to(dtype), rank=self.rank, inverse=None if self.inverse is None else self.inverse.to(dtype)
        )

    def divide(self, W: Tensor) -> Tensor:
        """Q = W P^-1 (m, n)."""
        if self.inverse is not None:
            return W @ self.inverse
        return torch.linalg.solve_triangular(self.P, W, upper=True, left=False)


def shared_basis(weights: Sequence[Weight], *, ridge: float, dtype: torch.dtype = torch.float64) -> SharedBasis:
    """Compute the basis V that the layers of a category share.

    A null direction of the stack (see `NULL_DIRECTION`) leaves its column of V undetermined: there V gets the root
    mean square of the other directions' singular values as its scale, so that V can be inverted. W_i = B_i V^T then
    still holds exactly, with B_i (next to) zero in those columns. V is otherwise unique up to order and sign of its
    columns, where the eigenvalues of T are distinct: for three or more layers, save for equal or wide (m < n) ones.

    T is a multiple of the identity for one layer, for a square stack (N m = n) and for layers that are equal up to a
    rotation of their outputs. Any orthogonal E diagonalises it, and what `eigh` returns is rounding noise. E is then
    that of the stack's singular value decomposition X Sigma Z^T, V = Z Sigma: it is one of those that the definition
    allows (V V^T = H), so that V has the scale that it has in the other categories, and no rounding turns it where the
    singular values differ.

    Parameters
    ----------
    weights : sequence of callables
        Each returns one layer's W (m, n); called up to three times, so that no two weights need be held at once.
    ridge : float
        pi > 0, what is added to Q_i^T Q_i before inverting; the papers' scripts use 1e-3.
    dtype : torch.dtype
        Of T and its eigenvectors, float64 or float32. P and V are float64 in any case: float32 costs digits in which
        rotation of nearly equal eigenvalues V is, and none in W_i = B_i V^T.
    """
    if not weights:
        raise ValueError("weights=[]: a category needs at least one layer.")
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be positive (1e-3 in the released settings).")
    rows = sum(weight().shape[0] for weight in weights)
    n = weights[0]().shape[1]
    if rows < n:
        return all_right_singular_vectors(weights)
    if len(weights) == 1 or rows == n:
        return _degenerate(weights)
    root = _root(weights)
    E, error, spread = _eigenvectors(weights, root, ridge, dtype)
    if dtype != torch.float64 and spread < MAYBE_DEGENERATE:
        *_, spread = _eigenvectors(weights, root, ridge, torch.float64)
    if spread < DEGENERATE:
        return _degenerate(weights)
    E = E.to(root.P.dtype)
    V = root.P.T @ E if root.inverse is not None else _lower_times(root.P.T, E)
    return SharedBasis(V=V, rank=root.rank, error=error)


def all_right_singular_vectors(weights: Sequence[Weight]) -> SharedBasis:
    """V (n, n) orthogonal: those of the stack, strongest first, and where it has fewer rows than columns some more."""
    stack = torch.cat([weight().double() for weight in weights])
    check_finite(stack)
    _, sigma, Vh = torch.linalg.svd(stack, full_matrices=stack.shape[0] < stack.shape[1])
    rank = int((sigma > NULL_DIRECTION * sigma[0]).sum())
    return SharedBasis(V=Vh.T.contiguous(), rank=rank, error=0.0)


def coordinates(W: Tensor, V: Tensor, V_inv_t: Tensor, *, refine: bool = True) -> Tensor:
    """Express one layer in the shared basis: B = W V^-T, so that W = B V^T.

    V and V^-T are in the working precision. A step of refinement restores what an explicit inverse loses where V is
    badly conditioned.
    """
    W = W.to(V_inv_t.dtype)
    B = W @ V_inv_t
    if refine:
        B.addmm_(torch.addmm(W, B, V.T, alpha=-1), V_inv_t)
    return B


def lengths(B: Tensor, *, cutoff: float = 1e-12) -> Tensor:
    """lambda (n,), the lengths of B's columns, so that B = U diag(lambda) with U's columns of unit length, or zero.

    Columns with lambda <= cutoff * max(lambda) carry no part of W. Their lambda is set to 0 and their column of U to 0
    (the released scripts leave it uninitialised): the reconstruction stays what it is, U = W V^-T diag(1/lambda) holds
    with 1/0 read as 0, and what is trained there has no effect instead of an arbitrary one.
    """
    lambda_ = B.norm(dim=0)
    return torch.where(lambda_ > cutoff * lambda_.max(), lambda_, 0)


def condition_number(V: Tensor, V_inv: Tensor) -> float:
    """Condition number of V in the 1-norm; free, as the inverse is at hand."""
    return (torch.linalg.matrix_norm(V, 1) * torch.linalg.matrix_norm(V_inv, 1)).item()


def probes(n: int, device: torch.device) -> Tensor:
    """Random vectors (n, PROBES), always the same, float64: the mean of |A z|^2 over them estimates |A|^2."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, PROBES, generator=generator, dtype=torch.float64, device="cpu").to(device)


def check_finite(numbers: Tensor) -> None:
    """Refuse a target weight, or numbers made of one, with NaN or infinity in it."""
    if not torch.isfinite(numbers).all():
        raise ValueError("a target weight holds NaN or infinity: it has no decomposition. Check how it was loaded.")


def _add_gram(H: Tensor, A: Tensor, alpha: float = 1.0) -> None:
    """H += alpha A^T A, on and below the diagonal; above it H is not to be read."""
    n = A.shape[1]
    if n <= BLOCK:
        H.addmm_(A.T, A, alpha=alpha)
        return
    half = n // 2
    left, right = A[:, :half], A[:, half:]
    _add_gram(H[:half, :half], left, alpha)
    _add_gram(H[half:, half:], right, alpha)
    H[half:, :half].addmm_(right.T, left, alpha=alpha)


def _lower_times(L: Tensor, E: Tensor) -> Tensor:
    """L E for a lower triangular L, in half the time."""
    n = L.shape[0]
    if n <= BLOCK:
        return L @ E
    half = n // 2
    upper, lower = _lower_times(L[:half, :half], E[:half]), _lower_times(L[half:, half:], E[half:])
    return torch.cat([upper, lower.addmm_(L[half:, :half], E[:half])])


def _root(weights: Sequence[Weight]) -> Root:
    """P from the Cholesky factor of H where that is accurate, else from a sequential QR."""
    H: Tensor | None = None
    for weight in weights:
        W = weight().double()
        if H is None:
            H = W.new_zeros(W.shape[1], W.shape[1])
        _add_gram(H, W)
    assert H is not None
    check_finite(H.diagonal())  # what is not finite in a weight is not in the square of its column either
    L, failed = torch.linalg.cholesky_ex(H)
    del H
    if not failed and _triangular_condition(L) < CHOLESKY_SERVES:
        return Root(P=L.T.contiguous(), rank=L.shape[0])
    return _root_by_qr(weights)


def _triangular_condition(L: Tensor, steps: int = 10) -> float:
    """Condition number of a lower triangular matrix, from a few steps of the power method on L L^T and its inverse."""
    z, y = probes(L.shape[0], L.device)[:, :1].clone(), probes(L.shape[0], L.device)[:, 1:2].clone()
    for _ in range(steps):
        z = L @ (L.T @ (z / z.norm()))
        y = torch.linalg.solve_triangular(L, y / y.norm(), upper=False)
        y = torch.linalg.solve_triangular(L.T, y, upper=True)
    return math.sqrt(z.norm().item() * y.norm().item())


def _root_by_qr(weights: Sequence[Weight]) -> Root:
    R: Tensor | None = None
    for weight in weights:
        W = weight().double()
        check_finite(W)
        R = torch.linalg.qr(W if R is None else torch.cat([R, W]), mode="r").R
    assert R is not None
    _, sigma, Zh = torch.linalg.svd(R, full_matrices=False)
    n = Zh.shape[1]
    if sigma.numel() == 0 or sigma[0] == 0:
        eye = torch.eye(n, dtype=R.dtype, device=R.device)
        return Root(P=eye, rank=0, inverse=eye)
    kept = sigma > NULL_DIRECTION * sigma[0]
    sigma = torch.where(kept, sigma, sigma[kept].square().mean().sqrt())
    return Root(P=sigma[:, None] * Zh, rank=int(kept.sum()), inverse=Zh.T / sigma)


def _degenerate(weights: Sequence[Weight]) -> SharedBasis:
    """V = Z Sigma of the stack X Sigma Z^T, by which no eigenvector of T is asked for."""
    root = _root_by_qr(weights)
    return SharedBasis(V=root.P.T.contiguous(), rank=root.rank, error=0.0, degenerate=True)


def _eigenvectors(
    weights: Sequence[Weight], root: Root, ridge: float, dtype: torch.dtype
) -> tuple[Tensor, float, float]:
    """E of T = mean_i (Q_i^T Q_i + ridge I)^-1, ascending as in T, its backward error, and the spread of eigenvalues.

    N T is what is gathered. The spread is relative, over the directions that the weights use: null ones come last.
    """
    exact, root = root, root.to(dtype)
    T = torch.zeros_like(root.P)
    error = 0.0
    for i, weight in enumerate(weights):
        W = weight()
        _add_inverse(T, root.divide(W.to(dtype)), ridge)
        if i == 0 and dtype != torch.float64:
            error = _error_of_one(T, exact.divide(W.double()), ridge)
    tau, E = torch.linalg.eigh(T)  # reads the lower triangle
    z = probes(T.shape[0], T.device).to(dtype)
    full = T.tril() + T.tril(-1).T
    Tz = full @ z
    residual = (Tz - E @ (tau[:, None] * (E.T @ z))).norm() / Tz.norm()
    used = tau.sort().values[: root.rank]
    spread = ((used[-1] - used[0]) / used.abs().max()).item() if root.rank > 1 else math.inf
    return E, max(error, residual.item()), spread


def _add_inverse(T: Tensor, Q: Tensor, ridge: float) -> None:
    """T += (Q^T Q + ridge I)^-1, on and below the diagonal, and but for a multiple of I, which moves no eigenvector.

    For m < n it is by Woodbury (I - Q^T (ridge I + Q Q^T)^-1 Q) / ridge.
    """
    m, n = Q.shape
    small = Q.new_zeros(min(m, n), min(m, n))
    _add_gram(small, Q.T if m < n else Q)
    small.diagonal().add_(ridge)
    L = torch.linalg.cholesky(small)
    if m < n:
        _add_gram(T, torch.linalg.solve_triangular(L, Q, upper=False), alpha=-1 / ridge)
    else:
        T += torch.cholesky_inverse(L)


def _error_of_one(T: Tensor, Q: Tensor, ridge: float) -> float:
    """Relative error of T, which holds one layer so far, against that layer in the precision of Q."""
    exact = Q.new_zeros(T.shape)
    _add_inverse(exact, Q, ridge)
    difference = (T.to(Q.dtype) - exact).tril()
    return (difference.norm() / exact.tril().norm()).item()
