"""The adapted layer: identity at the start to the bit, gradients of the dense formula, evaluation cache, autocast."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from toy import PLANS, gradients, outputs
from transformers.pytorch_utils import Conv1D

from frod.method.linear import FrodLinear
from frod.method.products import SharedBasis, SparsePattern

KINDS = ["square", "tall", "wide", "conv"]


def adapted(kind, plan="auto", dtype=torch.float64, disturb=0.3, rate=0.2):
    """One adapted layer with a random basis: the formula must hold for any V and lambda_0."""
    g = torch.Generator().manual_seed(3)
    m, n = {"square": (6, 6), "tall": (9, 5), "wide": (5, 9), "conv": (7, 6)}[kind]
    base = Conv1D(m, n) if kind == "conv" else nn.Linear(n, m, bias=kind != "square")
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=g))
    base.to(dtype).requires_grad_(False)
    places = torch.randperm(n * n, generator=g)
    places = places[places // n != places % n][: int(rate * n * n)].sort().values
    wide_dtype = torch.promote_types(dtype, torch.float32)
    V = torch.randn(n, n, generator=g, dtype=torch.float64)
    shared = SharedBasis(V.to(wide_dtype), torch.linalg.inv(V).T.to(wide_dtype))
    layer = FrodLinear(base, shared, category="c", lambda_0=0.5 + torch.rand(n, generator=g), plan=plan)
    layer.add_adapter("default", SparsePattern(n, places // n, places % n))
    with torch.no_grad():
        layer.scale.add_(disturb * torch.randn(layer.scale.shape, generator=g).to(wide_dtype))
        layer.rotation.add_(disturb * torch.randn(layer.rotation.shape, generator=g).to(wide_dtype))
    return layer, torch.randn(4, 3, n, generator=g).to(dtype), (places // n, places % n)


def dense(layer, x, places, scale, rotation):
    """W + U (diag(scale - lambda_0) + S) V^T written out, for autograd, with U = W V^-T diag(1 / lambda_0)."""
    S = torch.zeros(layer.in_features, layer.in_features, dtype=rotation.dtype).index_put(places, rotation)
    M = torch.diag(scale - layer.lambda_0) + S
    W = layer.frozen.T if layer.transposed else layer.frozen
    U = W @ torch.linalg.inv(layer.shared.Vt) / layer.lambda_0
    return nn.functional.linear(x, W + U @ M @ layer.shared.Vt, layer.bias)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", KINDS)
def test_output_and_gradients_are_those_of_the_dense_formula(kind, plan):
    """The output also in evaluation."""
    layer, x, places = adapted(kind, plan)
    x.requires_grad_()
    y = layer(x)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=y.dtype)
    got = torch.autograd.grad(y, [x, layer.scale, layer.rotation], dy)
    reference = dense(layer, x, places, layer.scale, layer.rotation)
    expected = torch.autograd.grad(reference, [x, layer.scale, layer.rotation], dy)
    assert torch.allclose(y, reference, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert torch.allclose(outputs(layer, x), reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("plan", [*PLANS, "auto"])
def test_the_model_does_not_change_by_a_bit(make_model, make_adapted, dtype, plan):
    # The residual form promises this; U (diag(lambda) + S) V^T itself is off by 1e-2 in bfloat16.
    x = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    frozen = make_model(dtype)
    model, _ = make_adapted(dtype, plan=plan)
    expected = outputs(frozen, x)
    for training in (False, True):
        assert torch.equal(model.train(training)(x), expected)
        with torch.no_grad():
            assert torch.equal(model(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("plan", PLANS)
def test_autocast_does_what_it_does_to_a_frozen_layer(make_model, make_adapted, dtype, plan):
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    frozen = make_model()
    model, _ = make_adapted(plan=plan)
    with torch.autocast("cpu", dtype=dtype):
        expected = frozen(x)
        for mode in (True, False):
            got = model.train(mode)(x)
            assert got.dtype == expected.dtype
            assert torch.equal(got, expected)
        with torch.no_grad():
            assert torch.equal(model(x), expected)
    model, _ = make_adapted(plan=plan, by=0.05)
    exact = gradients(model, x)
    with torch.autocast("cpu", dtype=dtype):
        loss = model(x).float().square().sum()
    loss.backward()
    outside = gradients(model)
    with torch.autocast("cpu", dtype=dtype):
        model(x).float().square().sum().backward()
    for name, gradient in gradients(model).items():
        assert torch.equal(gradient, outside[name]), name
        assert gradient.dtype == torch.float32
        # Eight bits of a mantissa; processors that multiply in them (AMX) have been seen 0.29 away.
        assert (gradient - exact[name]).norm() < 0.4 * exact[name].norm(), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_weights_train_float32_numbers(kind, plan, dtype):
    layer, x, places = adapted(kind, plan, dtype)
    y = layer(x)
    assert y.dtype == dtype
    y.float().square().sum().backward()
    got = layer.scale.grad, layer.rotation.grad
    exact = copy.deepcopy(layer)
    exact.base.double()
    exact.lambda_0 = layer.lambda_0.double()
    scale, rotation = (p.detach().double().requires_grad_() for p in (layer.scale, layer.rotation))
    exact.shared.Vt = exact.shared.Vt.double()
    reference = dense(exact, x.double(), places, scale, rotation)
    for ours, theirs in zip(got, torch.autograd.grad(reference.square().sum(), [scale, rotation]), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.05 * theirs.norm()


@pytest.mark.parametrize("plan", PLANS)
def test_no_rotation_at_all_is_allowed(plan):
    layer, x, _ = adapted("tall", plan, rate=0)
    layer(x).sum().backward()
    assert layer.rotation.grad.shape == (0,)
    assert layer.scale.grad.abs().sum() > 0


@pytest.mark.parametrize("plan", PLANS)
def test_unwanted_gradients_are_not_computed(plan):
    layer, x, _ = adapted("tall", plan)
    layer.rotation.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.rotation.grad is None
    layer.scale.requires_grad_(False)
    assert not layer(x).requires_grad


CHANGES = {
    "lambda": lambda layer: layer.scale.add_(1),
    "S": lambda layer: layer.rotation.mul_(2),
    "the frozen weight": lambda layer: layer.base.weight.mul_(2),
    "another tensor": lambda layer: setattr(layer.scale, "data", layer.scale + 1),
    # Behind the version counter's back:
    "and a change of mode": lambda layer: (layer.scale.data.add_(1), layer.train().eval()),
    "a fused step": lambda layer: torch.optim.SGD([layer.scale], lr=0.5, fused=True).step(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_evaluation_weight_is_formed_once_and_again_when_anything_changes(calls, change):
    layer, x, _ = adapted("square")
    layer(x).sum().backward()
    calls.clear()
    with torch.no_grad():
        first = layer.eval()(x)
        assert torch.equal(layer(x), first) and calls["form_weight"] == 1
        CHANGES[change](layer)
        assert not torch.equal(layer(x), first)
    with torch.inference_mode():
        layer(x)
    assert calls["form_weight"] == 2


def test_a_step_behind_the_version_counters_is_seen_after_a_forward_with_gradients():
    layer, x, _ = adapted("square")
    before = outputs(layer, x)
    layer(x).sum().backward()
    layer.scale.data.sub_(layer.scale.grad)
    with torch.no_grad():
        assert not torch.equal(layer(x), before)


def test_copies_and_pickles_are_whole_and_share_the_basis(make_adapted):
    model, _ = make_adapted(by=0.1)
    x = torch.randn(3, 8)
    y = outputs(model, x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(buffer, weights_only=False)):
        assert torch.equal(outputs(other, x), y)
        assert other.blocks[0].up.shared is other.blocks[1].up.shared
        assert other.blocks[0].up._formed is not model.blocks[0].up._formed
        assert other.blocks[0].up.shared is not model.blocks[0].up.shared
        other.blocks[0].up.scale.data.add_(1)
        assert torch.equal(outputs(model, x), y)


def test_the_state_dict_holds_weights_and_trained_numbers_but_no_basis(make_adapted):
    model, _ = make_adapted(by=0.1)
    state = model.state_dict()
    assert {key.removeprefix("blocks.0.up.") for key in state if key.startswith("blocks.0.up.")} == {
        "base.weight",
        "base.bias",
        "adapters.default.scale",
        "adapters.default.rotation",
    }
    other, _ = make_adapted()
    other.load_state_dict(state)
    x = torch.randn(3, 8)
    assert torch.equal(outputs(other, x), outputs(model, x))


def test_casting_the_model_leaves_the_adapter_in_float32(make_adapted):
    model, _ = make_adapted(by=0.1)
    before = model.blocks[0].up.scale.detach().clone()
    model.blocks[0].up.formed_Ut()
    model.to(torch.bfloat16)
    layer = model.blocks[0].up
    assert layer.base.weight.dtype == layer.Ut.dtype == torch.bfloat16
    assert layer.scale.dtype == layer.lambda_0.dtype == layer.shared.Vt.dtype == torch.float32
    assert layer.shared.V_inv_t.dtype == torch.float32
    assert torch.equal(layer.scale, before)
    assert model(torch.randn(3, 8).bfloat16()).dtype == torch.bfloat16


def test_an_input_of_another_dtype_is_refused_as_the_frozen_layer_would():
    layer, x, _ = adapted("square")
    with pytest.raises(ValueError, match=r"input is torch\.float32, the weight torch\.float64"):
        layer(x.float())


def test_the_input_side_is_left_out_where_it_would_be_less_accurate():
    def strategy(itemsize=4, smallest=1.0, solve=False):
        lambda_0 = torch.ones(5)
        lambda_0[2] = smallest
        shared = SharedBasis(torch.eye(5), torch.eye(5))
        layer = FrodLinear(nn.Linear(5, 500), shared, category="c", lambda_0=lambda_0, solve=solve)
        layer.add_adapter("default", SparsePattern(5, torch.tensor([0]), torch.tensor([1])))
        return layer.strategy(1000, itemsize)

    for given in ({}, {"itemsize": 2}, {"smallest": 1e-4}, {"itemsize": 2, "smallest": 0}):
        assert strategy(**given) == "input_side"
    assert strategy(itemsize=2, smallest=1e-4) != "input_side"
    assert strategy(solve=True) != "input_side"


@pytest.mark.parametrize("plan", PLANS)
def test_no_tokens_give_no_outputs_and_gradients_of_zero(make_adapted, plan):
    model, _ = make_adapted(sparse_rate=0.1, plan=plan)
    model.train()(torch.zeros(0, 3, 8)).sum().backward()
    layer = model.blocks[0].up
    assert layer.scale.grad.eq(0).all() and layer.rotation.grad.eq(0).all()


def test_what_inference_mode_formed_serves_training_too(make_adapted):
    """In evaluation mode, as for saliency or a frozen dropout: torch refuses tensors of inference mode there."""
    model, _ = make_adapted(plan="materialised", by=0.1)
    x = torch.randn(3, 8)
    with torch.inference_mode():
        expected = model(x)
    y = model(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    with torch.inference_mode():
        assert torch.equal(model(x), expected)
        assert torch.equal(model.train()(x), expected)
