"""The joint decomposition against its definition (QR of the stack, in float64), and where the definition is fragile."""

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frod.method import decomposition

RIDGE = 1e-3


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decompose(weights, dtype=torch.float64):
    """The shared basis, and (U, lambda) of every layer."""
    basis = decomposition.shared_basis([lambda W=W: W for W in weights], ridge=RIDGE, dtype=dtype)
    V_inv_t = torch.linalg.inv(basis.V).T
    factors = []
    for W in weights:
        B = decomposition.coordinates(W, basis.V, V_inv_t)
        lambda_ = decomposition.lengths(B)
        factors.append((torch.where(lambda_ > 0, B / lambda_, 0), lambda_))
    return basis, factors


def error_of(W, U, lambda_, V):
    return ((U * lambda_) @ V.T - W).norm() / W.norm().clamp(min=1e-300)


def worst_error(weights):
    basis, factors = decompose(weights)
    return max(error_of(W, U, lambda_, basis.V) for W, (U, lambda_) in zip(weights, factors, strict=True))


def by_definition(weights):
    """V from the QR of the whole stack and plain inverses: the formulas of the paper, none of our short cuts."""
    Q, R = torch.linalg.qr(torch.cat(weights))
    eye = torch.eye(R.shape[0], dtype=R.dtype)
    blocks = Q.split([W.shape[0] for W in weights])
    T = sum(torch.linalg.inv(block.T @ block + RIDGE * eye) for block in blocks) / len(weights)
    return R.T @ torch.linalg.eigh(T).eigenvectors


def column_distance(V, reference):
    """Largest relative distance of two matrices' columns, up to sign."""
    sign = (V * reference).sum(0).sign()
    return ((V * sign - reference).norm(dim=0) / reference.norm(dim=0)).max().item()


@pytest.mark.parametrize("shapes", [[(20, 12)] * 4, [(12, 12)] * 3, [(8, 24)] * 5, [(24, 24), (40, 24), (30, 24)]])
def test_V_is_that_of_the_definition(shapes):
    weights = [random(*shape, seed=i) for i, shape in enumerate(shapes)]
    basis, _ = decompose(weights)
    assert column_distance(basis.V, by_definition(weights)) < 1e-9


def test_V_is_that_of_the_definition_where_cholesky_would_lose_digits():
    # cond(H) is 1e10 here: a Cholesky factor of H would leave V with six digits at best.
    mix = torch.linalg.qr(random(20, 20)).Q
    weights = [random(30, 20, seed=i) * torch.logspace(0, -5, 20, dtype=torch.float64) @ mix for i in range(3)]
    basis, _ = decompose(weights)
    assert column_distance(basis.V, by_definition(weights)) < 1e-9


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 16),
    rows=st.lists(st.integers(1, 24), min_size=1, max_size=5),
    rank=st.integers(0, 16),
    noise=st.sampled_from([0.0, 1e-13, 1e-9, 1e-7, 1e-5, 1e-2]),
    seed=st.integers(0, 10**6),
)
def test_any_weights_are_reconstructed(n, rows, rank, noise, seed):
    # Rank-deficient (noise 0), nearly so, wide, tall, mixed, single: the product must give W back to 1e-10.
    inner = random(rank, n, seed=seed)
    weights = [
        random(m, rank, seed=seed + i) @ inner + noise * random(m, n, seed=seed - i) for i, m in enumerate(rows, 1)
    ]
    basis, factors = decompose(weights)
    for W, (U, lambda_) in zip(weights, factors, strict=True):
        assert error_of(W, U, lambda_, basis.V) < 1e-10
        norms = U.norm(dim=0)
        assert torch.allclose(norms[lambda_ > 0], torch.ones(()).double())
        assert (norms[lambda_ == 0] == 0).all()
    assert torch.linalg.cond(basis.V) < 10 / decomposition.NULL_DIRECTION


def test_a_rank_deficient_stack_says_so_and_keeps_V_invertible():
    inner = random(5, 20)
    basis, factors = decompose([random(30, 5, seed=i) @ inner for i in range(3)])
    assert basis.rank == 5
    assert torch.linalg.cond(basis.V) < 100
    assert all((lambda_ > 0).sum() == 5 for _, lambda_ in factors)


def test_fewer_rows_than_columns_gives_the_right_singular_vectors():
    weights = [random(4, 24, seed=i) for i in range(3)]
    basis, _ = decompose(weights)
    Vh = torch.linalg.svd(torch.cat(weights)).Vh
    assert column_distance(basis.V[:, :12], Vh[:12].T) < 1e-12
    assert torch.allclose(basis.V.T @ basis.V, torch.eye(24).double(), atol=1e-12)
    assert worst_error(weights) < 1e-13


def test_a_single_layer_gets_its_singular_value_decomposition():
    # T is a multiple of I: any rotation would be a basis, and rounding must not choose it.
    W = random(20, 12)
    basis, [(U, lambda_)] = decompose([W])
    singular = torch.linalg.svd(W, full_matrices=False)
    assert column_distance(basis.V, (singular.Vh.T * singular.S)) < 1e-12
    assert torch.allclose(lambda_, torch.ones_like(lambda_))
    assert torch.allclose(U.T @ U, torch.eye(12).double(), atol=1e-12)


def test_a_layer_of_zeros_among_others_and_a_category_of_zeros():
    W = random(10, 6)
    basis, [_, (U, lambda_)] = decompose([W, torch.zeros_like(W)])
    assert not lambda_.any()
    assert not U.any()
    assert worst_error([W, torch.zeros_like(W)]) < 1e-13
    basis, _ = decompose([torch.zeros(10, 6).double()] * 2)
    assert basis.rank == 0
    assert torch.equal(basis.V, torch.eye(6).double())


def test_weights_are_read_one_at_a_time():
    # The stack of a large category does not fit next to the model: at most one weight may be out at any time.
    # (two, while a new one is read before the name of the last one is bound again).
    alive = weakref.WeakSet()
    most = 0

    def reader(seed):
        def read():
            nonlocal most
            W = random(10, 6, seed=seed)
            alive.add(W)
            most = max(most, len(alive))
            return W

        return read

    decomposition.shared_basis([reader(seed) for seed in range(5)], ridge=RIDGE)
    assert 1 <= most <= 2


def test_impossible_input_is_refused():
    W = random(4, 4)
    with pytest.raises(ValueError, match=r"ridge=0\.0 must be positive"):
        decomposition.shared_basis([lambda: W], ridge=0.0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        decomposition.shared_basis([lambda: W * torch.nan, lambda: W], ridge=RIDGE)
    with pytest.raises(ValueError, match="at least one layer"):
        decomposition.shared_basis([], ridge=RIDGE)
