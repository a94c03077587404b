"""Where T is a multiple of the identity, V is the singular vectors and values of the stack, not what rounding makes."""

import pytest
import scipy.linalg
import torch
from toy import TARGETS

import frod
from frod.method import decomposition

RIDGE = 1e-3
DTYPES = [torch.float64, torch.float32]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotated(W, seed):
    """Outputs turned: Q W, Q orthogonal."""
    return torch.linalg.qr(random(W.shape[0], W.shape[0], seed=seed)).Q @ W


def basis_of(weights, dtype=torch.float64):
    return decomposition.shared_basis([lambda W=W: W for W in weights], ridge=RIDGE, dtype=dtype)


def by_scipy(weights):
    """Z Sigma of the stack X Sigma Z^T."""
    _, sigma, Zh = scipy.linalg.svd(torch.cat(weights).numpy(), full_matrices=False)
    return torch.from_numpy(Zh.T * sigma)


def distance(V, reference):
    """Largest relative distance of two matrices' columns, up to sign."""
    sign = (V * reference).sum(0).sign()
    return ((V * sign - reference).norm(dim=0) / reference.norm(dim=0)).max().item()


def spread_of_T(weights):
    """Relative spread of T's eigenvalues, by the formulas."""
    Q = torch.linalg.qr(torch.cat(weights)).Q
    eye = torch.eye(Q.shape[1], dtype=Q.dtype)
    T = sum(torch.linalg.inv(part.T @ part + RIDGE * eye) for part in Q.split([len(W) for W in weights]))
    tau = torch.linalg.eigvalsh(T)
    return ((tau[-1] - tau[0]) / tau[-1]).item()


SQUARE = [random(6, 24, seed=i) for i in range(4)]
UNEVEN = [random(m, 12, seed=m) for m in (3, 4, 5)]
EQUAL = [random(20, 12)] * 3
TURNED = [rotated(random(20, 12), seed) for seed in range(3)]
WIDE_EQUAL = [random(8, 12)] * 3  # of rank 8
DEGENERATE = {"square": SQUARE, "uneven": UNEVEN, "equal": EQUAL, "turned": TURNED, "one": [random(20, 12)]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", DEGENERATE.values(), ids=DEGENERATE)
def test_V_is_the_singular_value_decomposition_of_the_stack(weights, dtype):
    assert spread_of_T(weights) < 1e-10
    basis = basis_of(weights, dtype)
    assert basis.degenerate
    assert distance(basis.V, by_scipy(weights)) < 1e-10
    # It is one of those that the definition allows: V V^T = R^T E E^T R = A^T A.
    A = torch.cat(weights)
    assert torch.allclose(basis.V @ basis.V.T, A.T @ A, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_badly_conditioned_square_stack_is_told_by_its_shape(dtype):
    # Rounding moves the eigenvalues of its T, so that their spread would not tell.
    weights = [W * torch.logspace(0, -5, 24, dtype=torch.float64) for W in SQUARE]
    basis = basis_of(weights, dtype)
    assert basis.degenerate
    assert distance(basis.V[:, :20], by_scipy(weights)[:, :20]) < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_layers_of_a_lower_rank_are_told_by_the_directions_that_they_use(dtype):
    basis = basis_of(WIDE_EQUAL, dtype)
    assert (basis.degenerate, basis.rank) == (True, 8)
    assert distance(basis.V[:, :8], by_scipy(WIDE_EQUAL)[:, :8]) < 1e-10
    assert torch.linalg.cond(basis.V) < 100


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_of_the_layers_does_not_turn_V(dtype):
    # H = sum_i W_i^T W_i does not know it; eigenvectors of a multiple of the identity did.
    there, back = basis_of(SQUARE, dtype).V, basis_of(SQUARE[::-1], dtype).V
    assert distance(there, back) < 1e-10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "weights",
    [[*SQUARE[:3], random(7, 24)], [W + 1e-3 * random(20, 12, seed=i) for i, W in enumerate(EQUAL)]],
    ids=["one row more than a square", "nearly equal layers"],
)
def test_eigenvalues_that_differ_keep_their_eigenvectors(weights, dtype):
    assert spread_of_T(weights) > 1e-6
    basis = basis_of(weights, dtype)
    assert not basis.degenerate
    assert distance(basis.V, by_scipy(weights)) > 0.1


def test_one_row_less_than_a_square_is_what_it_was():
    weights = [*SQUARE[:3], SQUARE[3][:5]]
    basis = basis_of(weights)
    assert not basis.degenerate
    assert torch.allclose(basis.V.T @ basis.V, torch.eye(24).double(), atol=1e-12)


def test_the_manifest_has_it_and_it_is_said_once(make_model, tmp_path, capsys):
    basis = frod.extract_basis(make_model(), TARGETS)  # down: three of 8 x 24
    assert (
        capsys.readouterr().err.count("any rotation would be a basis of blocks.*.down: singular vectors are taken") == 1
    )
    basis.save(tmp_path)
    facts = {name: category.facts["degenerate"] for name, category in frod.Basis.load(tmp_path).categories.items()}
    assert facts == {f"blocks.*.{name}": name == "down" for name in TARGETS}
    frod.extract_basis(make_model(), ["up"])
    assert "any rotation" not in capsys.readouterr().err
