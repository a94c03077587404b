"""Against scipy's sparse algebra and generalised eigenvalues: the products with S, and what the basis diagonalises."""

import numpy as np
import pytest
import torch

from frod.method import decomposition, pattern
from frod.method.products import SparsePattern

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.linalg")


@pytest.fixture
def state():
    n = 30
    rows, columns = pattern.draw("c", n, 0.1, 0)
    rng = np.random.default_rng(0)
    V = rng.standard_normal((n, n))
    shared = SparsePattern(n, torch.from_numpy(rows), torch.from_numpy(columns))
    d, s = rng.standard_normal(n), rng.standard_normal(len(rows))
    S = sparse.coo_array((s, (rows, columns)), shape=(n, n)).tocsr() + sparse.diags_array(d)
    return shared, shared.values(torch.from_numpy(d), torch.from_numpy(s)), S, V, (rows, columns)


@pytest.mark.parametrize("width", [1, 7, 64])
def test_products_with_the_sparse_matrix(state, width):
    shared, values, S, _, (rows, columns) = state
    rng = np.random.default_rng(1)
    dense, other = rng.standard_normal((2, 30, width))
    np.testing.assert_allclose(shared.times(values, torch.from_numpy(dense)), S @ dense, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        shared.transposed_times(values, torch.from_numpy(dense)), S.T @ dense, rtol=1e-12, atol=1e-12
    )
    on_diagonal, at_pattern = shared.sample(torch.from_numpy(dense), torch.from_numpy(other))
    product = dense @ other.T
    np.testing.assert_allclose(on_diagonal, np.diag(product), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(at_pattern, product[rows, columns], rtol=1e-12, atol=1e-12)


def test_two_layers_give_the_generalised_eigenvectors_of_their_gram_matrices():
    # For N = 2 the method is the generalised SVD: V^-1 diagonalises both W_i^T W_i, with lambda_1^2 / lambda_2^2 as
    # generalised eigenvalues.
    rng = np.random.default_rng(0)
    W1, W2 = rng.standard_normal((2, 20, 8))
    basis = decomposition.shared_basis([lambda: torch.from_numpy(W1), lambda: torch.from_numpy(W2)], ridge=1e-3)
    V_inv = torch.linalg.inv(basis.V)
    ratios = []
    for W in (W1, W2):
        gram = (V_inv @ torch.from_numpy(W.T @ W) @ V_inv.T).numpy()
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-10)
        lambda_ = decomposition.lengths(decomposition.coordinates(torch.from_numpy(W), basis.V, V_inv.T))
        np.testing.assert_allclose(lambda_.numpy() ** 2, np.diag(gram), rtol=1e-10)
        ratios.append(np.diag(gram))
    expected = linalg.eigh(W1.T @ W1, W2.T @ W2, eigvals_only=True)
    np.testing.assert_allclose(np.sort(ratios[0] / ratios[1]), expected, rtol=1e-9)
