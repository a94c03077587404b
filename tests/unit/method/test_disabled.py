"""Within `frod.disabled` a model is the pretrained one, to the bit; afterwards all is as it was, in a step, too."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from toy import PLANS, assert_equal, gradients, loss_of, outputs

import frod

X = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_outputs_are_the_pretrained_model_s_and_come_back(make_model, make_adapted, dtype):
    model, _ = make_adapted(dtype, by=0.1)
    x, tuned = X.to(dtype), outputs(model, X.to(dtype))
    with frod.disabled(model) as within:
        assert within is model
        assert torch.equal(outputs(model, x), outputs(make_model(dtype), x))
        with frod.disabled(model):
            assert torch.equal(outputs(model, x), outputs(make_model(dtype), x))
    assert torch.equal(outputs(model, x), tuned)
    assert not torch.equal(outputs(make_model(dtype), x), tuned)


def test_after_a_cast_of_the_model(make_model, make_adapted):
    """Its first head, and those of other adapters, wait outside of the model meanwhile."""
    model, basis = make_adapted(by=0.1)
    frod.attach(model, basis, train=["head"], name="second")
    head = model._frod.heads["default"]["head"].weight.clone()
    model.bfloat16()
    with frod.disabled(model):
        assert torch.equal(outputs(model, X.bfloat16()), outputs(make_model().bfloat16(), X.bfloat16()))
    assert torch.equal(frod.set_adapter(model, "default").head.weight, head.bfloat16())
    assert outputs(model, X.bfloat16()).dtype == torch.bfloat16


def test_also_after_an_error_within(make_adapted):
    model, _ = make_adapted(by=0.1)
    head, tuned = model.head, outputs(model, X)
    with pytest.raises(KeyError), frod.disabled(model):
        raise KeyError
    assert model.head is head
    assert torch.equal(outputs(model, X), tuned)


@pytest.mark.parametrize("plan", PLANS)
def test_a_step_goes_on_over_a_reference_in_its_midst(make_adapted, plan):
    """As of a loss that compares with the pretrained model: between forward and backward, and under `accumulating`."""

    def step(reference):
        model, _ = make_adapted(by=0.1, plan=plan)
        model.train()
        for i in range(2):
            with frod.accumulating(model, 2) if i == 0 else nullcontext():
                loss = loss_of(model, X[2 * i : 2 * i + 2])
                with reference(model):
                    before = outputs(model, X)
                loss.backward()
        return gradients(model), before

    without, tuned = step(nullcontext)
    found, pretrained = step(frod.disabled)
    assert not torch.equal(tuned, pretrained)
    assert_equal(found, without, rtol=0, atol=0)


def test_nothing_trains_within_and_gradients_of_inputs_flow(make_model, make_adapted):
    model, _ = make_adapted(by=0.1)
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    x, plain = X.clone().requires_grad_(), X.clone().requires_grad_()
    with frod.disabled(model):
        model(x).square().sum().backward()
    make_model()(plain).square().sum().backward()
    assert torch.equal(x.grad, plain.grad)
    assert all(p.grad is None for p in model.parameters())
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trains


def test_statistics_are_the_pretrained_model_s_and_what_is_seen_within_is_forgotten(make_model):
    def plain():
        return nn.Sequential(make_model(), nn.BatchNorm1d(3)).eval()

    model = plain()
    frod.attach(model, frod.extract_basis(model, ["attention"], progress=False), train=[])
    model.train()(X)
    tuned = outputs(model.eval(), X)
    with frod.disabled(model):
        assert torch.equal(outputs(model, X), outputs(plain(), X))
        model.train()(X + 1)
    assert torch.equal(outputs(model.eval(), X), tuned)


@pytest.mark.parametrize(
    "use",
    [
        lambda model, path: frod.save_adapter(model, path / "a"),
        frod.save_pretrained,
        lambda model, path: frod.load_adapter(model, path / "saved", name="second"),
        lambda model, path: frod.load_adapter(model, path / "saved"),
        lambda model, path: frod.set_adapter(model, "default"),
        lambda model, path: frod.attach(model, model._frod.basis, train=["head"], name="second"),
        lambda model, path: frod.combine(model, {"default": 1.0}, name="second"),
        lambda model, path: frod.merge(model),
        lambda model, path: frod.parameter_groups(model, lr_scale=1, lr_rotation=1, lr_head=1),
        lambda model, path: frod.summary(model),
    ],
)
def test_what_needs_an_adapter_in_use_is_refused_within(make_adapted, tmp_path, use):
    model, _ = make_adapted(by=0.1)
    frod.save_adapter(model, tmp_path / "saved")
    tuned = outputs(model, X)
    with frod.disabled(model), pytest.raises(ValueError, match="adapters are disabled here; leave `with"):
        use(model, tmp_path)
    assert torch.equal(outputs(model, X), tuned)


def test_a_model_without_adapters_is_refused(make_model):
    with pytest.raises(ValueError, match="this Toy has no FRoD adapter"), frod.disabled(make_model()):
        pass
