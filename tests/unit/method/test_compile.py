"""torch.compile: compiled models compute what eager ones do, also after their parameters change.

Adapted layers stay out of the graphs, so that the weight kept for evaluation is never built into one as a constant.
"""

import copy
import shutil

import pytest
import torch
from toy import PLANS, adapt, assert_equal, gradients, outputs

import frod


@pytest.fixture(autouse=True)
def forget_what_was_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(2))


def step(model, x=X, lr=0.1):
    """Loss and gradients of a training step; the parameters move, too."""
    loss = model.train()(x).square().mean()
    loss.backward()
    found = gradients(model)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.sub_(lr * found.get(name.removeprefix("_orig_mod."), 0))
    return found | {"loss": loss.detach()}


@pytest.mark.parametrize("plan", PLANS)
def test_training_and_evaluation_equal_the_eager_ones(make_adapted, plan):
    eager, _ = make_adapted(plan=plan, by=0.1, layers=1)
    compiled = torch.compile(copy.deepcopy(eager), backend="aot_eager")
    for _ in range(2):
        assert_equal(step(compiled), step(eager))
        torch.testing.assert_close(outputs(compiled, X), outputs(eager, X))


@pytest.mark.parametrize("plan", PLANS)
def test_compiled_evaluation_follows_the_parameters(make_adapted, plan):
    """In place, without a step between: the weight kept for evaluation must not have become part of the graph."""
    eager, _ = make_adapted(plan=plan, by=0.1, layers=1)
    compiled = torch.compile(eager, backend="aot_eager")
    before = outputs(compiled, X)
    with torch.no_grad():
        for name, p in eager.named_parameters():
            if name.endswith(("scale", "rotation")):
                p.mul_(1.5)
    after = outputs(compiled, X)
    fresh = copy.deepcopy(eager)  # keeps no weight
    torch.testing.assert_close(after, outputs(fresh, X))
    assert (after - before).abs().max() > 1e-2


def test_blocks_share_what_is_compiled(make_adapted):
    """More blocks than one function may be compiled for: none of them falls back to eager for that."""
    limit = torch._dynamo.config.recompile_limit
    eager, _ = make_adapted(by=0.01, layers=limit + 2)
    compiled = torch.compile(copy.deepcopy(eager), backend="eager")
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        assert_equal(step(compiled), step(eager))


def test_fused_layers_compile(build):
    model = adapt(build("timm", "cpu"), train=["head"])
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager")
    x = torch.randn(2, 3, 8, 8)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        assert_equal(step(compiled, x), step(model, x))


@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler of CPU code needs g++")
def test_the_default_compiler(make_adapted):
    """What it fuses it may round otherwise."""
    eager, _ = make_adapted(by=0.1, layers=1, targets=["up", "conv"])
    compiled = torch.compile(copy.deepcopy(eager))
    assert_equal(step(compiled), step(eager), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(outputs(compiled, X), outputs(eager, X), rtol=1e-4, atol=1e-5)


def test_one_graph_is_refused_with_the_remedy_and_works_once_merged(make_adapted):
    model, _ = make_adapted(by=0.1, layers=1)
    expected = outputs(model, X)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="merge"):
        torch.compile(model, backend="eager", fullgraph=True)(X)
    merged = torch.compile(frod.merge(model), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(outputs(merged, X), expected)
