"""Out of memory on the device: a layer goes over to the plan without a second weight and says so, or the error does.

No device is filled up here: the product in question raises torch's error, as the allocator would.
"""

import warnings

import pytest
import torch

import frod
from frod.method.linear import FrodLinear

X = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def without_room(monkeypatch):
    def fail(method):
        def full(self, *args):
            raise torch.OutOfMemoryError("no room")

        monkeypatch.setattr(FrodLinear, method, full)

    return fail


def prefer_materialised(plan, **_):
    return "materialised" if plan == "auto" else plan


def gradients(model):
    model.zero_grad()
    model(X).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", ["form_weight", "formed_Ut"])
def test_training_goes_on_with_the_lighter_plan_and_a_warning(make_adapted, without_room, monkeypatch, method):
    model, _ = make_adapted(by=0.1, layers=1)
    monkeypatch.setattr("frod.method.linear.choose", prefer_materialised)
    expected = gradients(model.train())
    other, _ = make_adapted(by=0.1, layers=1)
    without_room(method)
    with pytest.warns(ResourceWarning, match="no room on cpu .* plan='input_side', which needs neither"):
        found = gradients(other.train())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once, and not tried again
        gradients(other)


def test_evaluation_goes_on_too(make_adapted, without_room):
    model, _ = make_adapted(by=0.1, layers=1)
    with torch.no_grad():
        expected = model(X)
        model.train().eval()
        without_room("form_weight")
        with pytest.warns(ResourceWarning, match="goes on with"):
            found = model(X)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["form_weight", "project"])
def test_where_a_plan_was_asked_for_the_error_says_which_would_fit(make_adapted, without_room, method):
    """Also in the backward, where it is too late to go over."""
    model, _ = make_adapted(plan="materialised", layers=1)
    without_room(method)
    with pytest.raises(torch.OutOfMemoryError) as error:
        gradients(model.train())
    assert error.value.__notes__ == [
        "FRoD: plan='materialised' keeps U or forms W'; attach with plan='input_side', which needs neither."
    ]


def test_no_micro_batch_is_lost_on_the_way(make_adapted, without_room, monkeypatch):
    """What waits for the step's last micro-batch can only be projected with U: going over would drop it."""
    model, _ = make_adapted(layers=1)
    monkeypatch.setattr("frod.method.linear.choose", prefer_materialised)
    with frod.accumulating(model.train()):
        model(X).square().mean().backward()
    without_room("apply_base")
    with pytest.raises(torch.OutOfMemoryError) as error:
        model(X)
    assert "plan='input_side'" in error.value.__notes__[0]
