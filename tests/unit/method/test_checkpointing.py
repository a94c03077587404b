"""Gradient checkpointing: the gradients are those without it, in each plan and both of torch's variants, and with
gradient accumulation a weight is still formed, and its gradient projected, once per optimiser step."""

import warnings

import pytest
import torch
from toy import PLANS, accumulated, adapt, assert_equal, disturb, gradients, loss_of

from frod.method.state import frod_layers

BATCH = 4
TEXT = {"input_ids": torch.arange(BATCH * 5).view(BATCH, 5) % 10, "labels": torch.tensor([0, 1, 1, 0])}


@pytest.fixture
def adapted(build):
    def make(name, plan):
        torch.manual_seed(0)
        model = build(name, "cpu")
        return disturb(adapt(model, plan=plan, train=None)).train()

    return make


def enable(model, use_reentrant):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers is renaming it
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": use_reentrant})
    model.enable_input_require_grads()  # reentrant checkpointing stops at inputs that need no gradient


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_the_gradients_are_those_without_checkpointing(adapted, name, plan, use_reentrant):
    """Dropout is on: the generator's state is put back for the second forward."""
    results = []
    for checkpointing in (False, True):
        model = adapted(name, plan)
        if checkpointing:
            enable(model, use_reentrant)
        torch.manual_seed(1)
        results.append(gradients(model, **TEXT))
    assert_equal(results[1], results[0])


@pytest.mark.parametrize("plan", PLANS)
def test_vision_models(adapted, plan):
    """Through timm's own switch; its q, k and v are fused."""
    model = adapted("timm", plan)
    x = torch.randn(2, 3, 8, 8)
    expected = gradients(model, x)
    model.set_grad_checkpointing(True)
    assert_equal(gradients(model, x), expected)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize(("plan", "formed", "projected"), [("materialised", 2, 1), ("factored", 0, 0)])
def test_it_costs_one_more_forming_of_the_weight(adapted, calls, plan, formed, projected, use_reentrant):
    """And none where the plan forms none: the reentrant variant's forward without gradients keeps to the plan."""
    model = adapted("bert", plan)
    layers = len(list(frod_layers(model)))
    enable(model, use_reentrant)
    loss_of(model, **TEXT).backward()
    assert (calls["form_weight"], calls["project"]) == (formed * layers, projected * layers)


@pytest.mark.parametrize("use_reentrant", [None, False, True])
def test_accumulation_forms_and_projects_once(adapted, calls, use_reentrant):
    """With and without checkpointing, which computes every forward twice; the gradient is the joined batch's."""
    model = adapted("bert", "materialised")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # micro-batches would draw other masks than the batch
    expected = gradients(model, **TEXT)
    if use_reentrant is not None:
        enable(model, use_reentrant)
    layers = len(list(frod_layers(model)))
    batches = [{name: t[i : i + 1] for name, t in TEXT.items()} for i in range(BATCH)]
    for _ in range(2):
        calls.clear()
        assert_equal(accumulated(model, *batches, parts=BATCH), expected)
        assert calls == {"form_weight": layers, "project": layers}
