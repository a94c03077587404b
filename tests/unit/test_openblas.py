"""Products by numpy's BLAS are what torch's own are: for every operator, layout, dtype and scale, and backwards."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from frod import openblas


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


SIZES = [(1, 64, 64), (7, 5, 3), (33, 64, 1), (1, 1, 1), (4, 0, 3), (0, 4, 3), (130, 70, 90)]
LAYOUTS = {
    "rows": normal,
    "columns": lambda *shape: normal(*shape).transpose(-1, -2).contiguous().transpose(-1, -2),
    "strided": lambda *shape: normal(*shape[:-1], 2 * shape[-1] + 1)[..., : 2 * shape[-1] : 2],
    "broadcast": lambda *shape: normal(*shape[:-2], 1, shape[-1]).expand(*shape),
}


@pytest.fixture(autouse=True, scope="module")
def _installed():
    """Only here: other tests compute as a program does that imports the library."""
    library = openblas.install.__wrapped__()
    yield
    library._destroy()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def by_hand(a, b):
    """The definition, by numpy's own sums: neither BLAS takes part."""
    return torch.from_numpy((a.double().numpy()[..., :, :, None] * b.double().numpy()[..., None, :, :]).sum(-2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
@pytest.mark.parametrize("batch", [(), (5,)])
def test_a_product_is_the_sum_of_products(layout, m, k, n, batch):
    a, b = LAYOUTS[layout](*batch, m, k), LAYOUTS[layout](*batch, k, n)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.15)):
        found = (torch.bmm if batch else torch.mm)(a.to(dtype), b.to(dtype))
        assert found.dtype == dtype and found.shape == (*batch, m, n)
        torch.testing.assert_close(found.double(), by_hand(a.to(dtype), b.to(dtype)), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0, 1), (0.5, -2), (1, 0.3)])
def test_a_sum_and_a_product(layout, beta, alpha):
    for batch, plain in (((), torch.addmm), ((5,), torch.baddbmm)):
        a, b, c = LAYOUTS[layout](*batch, 6, 4), LAYOUTS[layout](*batch, 4, 3), torch.randn(*batch, 6, 3).double()
        expected = alpha * by_hand(a, b) + (beta * c if beta else 0)
        torch.testing.assert_close(plain(c, a, b, beta=beta, alpha=alpha), expected)
        torch.testing.assert_close(plain(c, a, b, beta=beta, alpha=alpha, out=torch.empty(0).double()), expected)
        name = "addmm_" if not batch else "baddbmm_"
        torch.testing.assert_close(getattr(c.clone(), name)(a, b, beta=beta, alpha=alpha), expected)


def test_what_is_not_read_may_be_nan():
    nan = torch.full((2, 2), torch.nan)
    assert torch.addmm(nan, torch.eye(2), torch.eye(2), beta=0).equal(torch.eye(2))


def test_whole_numbers_and_unlike_dtypes():
    a = torch.arange(6).reshape(2, 3)
    assert (a @ a.T).equal(torch.tensor([[5, 14], [14, 50]]))
    with pytest.raises(RuntimeError, match="dtype"):
        torch.mm(torch.ones(2, 2), torch.ones(2, 2).double())


def test_gradients():
    a, b, c = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((3, 4), (4, 5), (5,)))
    assert torch.autograd.gradcheck(lambda a, b, c: torch.nn.functional.linear(a, b.T, c), (a, b, c))
    assert torch.autograd.gradcheck(lambda a, b: torch.bmm(a.expand(2, 3, 4), b.expand(2, 4, 5)), (a, b))


def test_what_computes_is_not_mkl():
    """The same bits as numpy's, in the forward pass of a layer and in both of its gradients."""
    layer, x = torch.nn.Linear(384, 96), torch.randn(50, 384, requires_grad=True)
    y, up = layer(x), torch.randn(50, 96)
    y.backward(up)
    W, bias, given, there = (t.detach().numpy() for t in (layer.weight, layer.bias, x, up))
    assert np.array_equal(y.detach().numpy(), given @ W.T + bias)
    assert np.array_equal(x.grad.numpy(), there @ W)
    assert np.array_equal(layer.weight.grad.numpy(), there.T @ given)


def test_afterwards_torch_computes_again():
    """What the other tests of this process rely on."""
    code = "import torch; from frod import openblas; library = openblas.install.__wrapped__(); library._destroy()"
    code += "; print((torch.ones(2, 3) @ torch.ones(3, 2)).sum().item(), openblas.product.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "12.0 product\n" and not done.stderr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_factor_can_be_freed_in_a_training_of_several_processes(monkeypatch, layout):
    """As FSDP2 does with whole weights; the product is the same to the bit."""
    a, b = LAYOUTS[layout](1, 5, 3), normal(3, 1)
    expected = a @ b
    a, b = a.clone(memory_format=torch.preserve_format), b.clone()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    found = a @ b
    for factor in (a, b):
        factor.untyped_storage().resize_(0)
    assert torch.equal(found, expected)
