"""Every architecture with default targets: unchanged at the start, trained, merged; and on a GPU, if there is one."""

import pytest
import torch
from toy import adapt, assert_equal, gradients, train

import frod
from frod.method.plan import STRATEGIES

HEADS = {"bert": "classifier", "roberta": "classifier", "mpnet": "classifier", "llama": "score", "gpt2": "score"}
ARCHITECTURES = [*HEADS, "clip", "timm"]


def batch(name):
    generator = torch.Generator().manual_seed(0)
    if name in HEADS:
        return torch.randint(1, 10, (3, 6), generator=generator)
    return torch.randn(3, 3, 8, 8, generator=generator)


@pytest.fixture
def make(build):
    """A model whose outputs are one tensor."""

    def plain(name):
        torch.manual_seed(0)
        model = build(name, "cpu").eval()
        model.register_forward_hook(lambda module, args, y: y if isinstance(y, torch.Tensor) else y[0])
        return model

    return plain


@pytest.mark.parametrize("plan", STRATEGIES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_unchanged_at_the_start_then_trained_then_merged(make, name, plan):
    model, inputs = make(name), batch(name)
    expected = model(inputs)
    adapt(model, sparse_rate=0.05, plan=plan, train=[HEADS[name]] if name in HEADS else [])
    assert torch.equal(model(inputs), expected)
    losses = train(model, inputs, loss=lambda model, x: (model(x) - 1).square().mean())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert frod.model_hash(model) == model._frod.basis.model_hash
    with torch.no_grad():
        trained = model.eval()(inputs)
        assert not torch.equal(trained, expected)
        merged = frod.merge(model)(inputs)
    # Evaluation forms W' as merging does, but for the plan that never forms it, and for a fused layer's one product.
    if plan == "input_side" or name == "timm":
        assert torch.allclose(merged, trained, rtol=1e-4, atol=1e-5)
    else:
        assert torch.equal(merged, trained)


def test_deterministic_algorithms_and_warnings_as_errors(make, recwarn):
    # Training runs with determinism on; and torch's notice that CSR is in beta must not reach the user's log.
    model = adapt(make("bert"), plan="materialised", train=["classifier"])
    torch.use_deterministic_algorithms(True)
    try:
        assert_equal(gradients(model, batch("bert")), gradients(model, batch("bert")), rtol=0, atol=0)
    finally:
        torch.use_deterministic_algorithms(False)
    assert not [w for w in recwarn if "CSR" in str(w.message)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("plan", STRATEGIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_computes_the_same(make_adapted, plan, dtype):
    model, _ = make_adapted(torch.float32, by=0.05, plan=plan)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    expected = gradients(model, x)
    model.to("cuda")
    assert model.blocks[0].up.shared is model.blocks[1].up.shared
    with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
        loss = model(x.cuda()).float().square().sum()
    loss.backward()
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    for name, got in gradients(model).items():
        assert (got.cpu() - expected[name]).norm() < tolerance * expected[name].norm(), name
