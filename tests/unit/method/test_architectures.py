"""Every architecture with default targets: unchanged at the start, trained, merged; and on a GPU, if there is one."""

import pytest
import torch

import frod
from frod.method.plan import STRATEGIES

HEADS = {"bert": "classifier", "roberta": "classifier", "mpnet": "classifier", "llama": "score", "gpt2": "score"}
ARCHITECTURES = [*HEADS, "clip", "timm"]


def batch(name):
    generator = torch.Generator().manual_seed(0)
    if name in HEADS:
        return torch.randint(1, 10, (3, 6), generator=generator)
    return torch.randn(3, 3, 8, 8, generator=generator)


def output(model, inputs):
    result = model(inputs)
    return result if isinstance(result, torch.Tensor) else result[0]


def adapted(build, name, plan="auto"):
    torch.manual_seed(0)
    model = build(name, "cpu").eval()
    basis = frod.extract_basis(model, progress=False)
    head = [HEADS[name]] if name in HEADS else []
    return model, basis, lambda: frod.attach(model, basis, sparse_rate=0.05, plan=plan, train=head)


@pytest.mark.parametrize("plan", STRATEGIES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_unchanged_at_the_start_then_trained_then_merged(build, name, plan):
    model, basis, attach = adapted(build, name, plan)
    inputs = batch(name)
    expected = output(model, inputs)
    attach()
    assert torch.equal(output(model, inputs), expected)
    groups = frod.parameter_groups(model, lr_scale=0.01, lr_rotation=0.01, lr_head=0.01)
    optimiser = torch.optim.AdamW(groups)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = (output(model, inputs) - 1).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert frod.model_hash(model) == basis.model_hash
    with torch.no_grad():
        trained = output(model, inputs)
        assert not torch.equal(trained, expected)
        merged = output(frod.merge(model), inputs)
    # Evaluation forms W' as merging does, but for the plan that never forms it, and for a fused layer's one product.
    if plan == "input_side" or name == "timm":
        assert torch.allclose(merged, trained, rtol=1e-4, atol=1e-5)
    else:
        assert torch.equal(merged, trained)


def test_deterministic_algorithms_and_warnings_as_errors(build, recwarn):
    # Training runs with determinism on; and torch's notice that CSR is in beta must not reach the user's log.
    model, _, attach = adapted(build, "bert", "materialised")
    attach()
    torch.use_deterministic_algorithms(True)
    try:
        gradients = []
        for _ in range(2):
            model.zero_grad()
            output(model, batch("bert")).square().sum().backward()
            gradients.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert not [w for w in recwarn if "CSR" in str(w.message)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("plan", STRATEGIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_computes_the_same(make_adapted, plan, dtype):
    model, _ = make_adapted(torch.float32, by=0.05, plan=plan)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    model(x).square().sum().backward()
    expected = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    model.to("cuda")
    assert model.blocks[0].up.shared is model.blocks[1].up.shared
    with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
        loss = model(x.cuda()).float().square().sum()
    loss.backward()
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    for got, wanted in zip((p.grad for p in model.parameters() if p.requires_grad), expected, strict=True):
        assert (got.cpu() - wanted).norm() < tolerance * wanted.norm()
