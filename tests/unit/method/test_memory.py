"""Out of memory on the device: a layer goes over to the plan without a second weight and says so, or the error does.

No device is filled up here: the product in question raises torch's error, as the allocator would.
"""

import warnings

import pytest
import torch
from toy import TARGETS, assert_equal, disturb, gradients, loss_of, outputs

import frod
from frod.method.linear import FrodLinear, all_layers

ROOM_FOR_NEITHER = "plan='input_side', which needs neither"
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


@pytest.mark.parametrize("method", ["form_weight", "formed_Ut"])
def test_training_goes_on_with_the_lighter_plan_and_a_warning(make_adapted, without_room, monkeypatch, method):
    model, _ = make_adapted(by=0.1, layers=1)
    monkeypatch.setattr("frod.method.linear.choose", prefer_materialised)
    expected = gradients(model.train(), X)
    other, _ = make_adapted(by=0.1, layers=1)
    without_room(method)
    with pytest.warns(ResourceWarning, match=f"no room on cpu .* {ROOM_FOR_NEITHER}"):
        assert_equal(gradients(other.train(), X), expected, rtol=1e-4, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once, and not tried again
        gradients(other, X)


def test_evaluation_goes_on_too(make_adapted, without_room):
    model, _ = make_adapted(by=0.1, layers=1)
    expected = outputs(model, X)
    model.train()
    without_room("form_weight")
    with pytest.warns(ResourceWarning, match="goes on with"):
        torch.testing.assert_close(outputs(model, X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["form_weight", "project"])
def test_where_a_plan_was_asked_for_the_error_says_which_would_fit(make_adapted, without_room, method):
    """Also in the backward, where it is too late to go over."""
    model, _ = make_adapted(plan="materialised", layers=1)
    without_room(method)
    with pytest.raises(torch.OutOfMemoryError) as error:
        gradients(model.train(), X)
    assert error.value.__notes__ == [f"FRoD: plan='materialised' keeps U or forms W'; attach with {ROOM_FOR_NEITHER}."]


@pytest.mark.parametrize("training", [True, False])
def test_no_digits_are_lost_on_the_way(make_model, without_room, training):
    """Half precision over singular values far from each other, where the plan leaves "input_side" out."""
    model = make_model(layers=1)
    with torch.no_grad():
        for layer in (model.blocks[0].attention, model.blocks[0].up):
            U, _, Vh = torch.linalg.svd(layer.weight, full_matrices=False)
            layer.weight.copy_(U * torch.tensor([1.0] * 7 + [1e-4]) @ Vh)
    model = model.to(torch.bfloat16)
    basis = frod.extract_basis(model, ["attention", "up"], kind="layer_svd", progress=False)
    frod.attach(model, basis, sparse_rate=0.1, train=[])
    assert not any(layer.even for layer in all_layers(model))
    without_room("form_weight")
    without_room("formed_Ut")
    with pytest.raises(torch.OutOfMemoryError) as error:
        model.train(training)(X.bfloat16())
    assert error.value.__notes__ == [
        "FRoD: plan='auto' keeps U or forms W', and plan='input_side' would lose digits: lambda_0 is too uneven for "
        "half precision. Take smaller batches, or adapt fewer blocks."
    ]
    assert all(layer.plan == "auto" for layer in all_layers(model))


@pytest.mark.parametrize("load", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_what_finds_no_room_on_attaching_leaves_the_model_as_it_was(make_model, tmp_path, monkeypatch, second, load):
    basis = frod.extract_basis(make_model(), TARGETS, progress=False)
    frod.save_adapter(frod.attach(make_model(), basis, train=["head"]), tmp_path, with_basis=True)
    model = make_model()
    if second:
        disturb(frod.attach(model, basis, layers=[1], sparse_rate=0.1, train=["head"]))

    def put():
        if load:
            return frod.load_adapter(model, tmp_path, name="new")
        return frod.attach(model, basis, train=["head"], name="new")

    before, trained = outputs(model, X), [p.requires_grad for p in model.parameters()]
    with monkeypatch.context() as patched:
        add, room = FrodLinear.add_adapter, iter(range(5))

        def limited(self, *args):
            if next(room, None) is None:
                raise torch.OutOfMemoryError("no room")
            add(self, *args)

        patched.setattr(FrodLinear, "add_adapter", limited)
        with pytest.raises(torch.OutOfMemoryError):
            put()
    assert torch.equal(outputs(model, X), before)
    assert hasattr(model, "_frod") == second
    assert second or [p.requires_grad for p in model.parameters()] == trained
    put()
    assert list(model._frod.adapters) == (["default", "new"] if second else ["new"])


def test_no_micro_batch_is_lost_on_the_way(make_adapted, without_room, monkeypatch):
    """What waits for the step's last micro-batch can only be projected with U: going over would drop it."""
    model, _ = make_adapted(layers=1)
    monkeypatch.setattr("frod.method.linear.choose", prefer_materialised)
    with frod.accumulating(model.train()):
        loss_of(model, X).backward()
    without_room("apply_base")
    with pytest.raises(torch.OutOfMemoryError) as error:
        model(X)
    assert "plan='input_side'" in error.value.__notes__[0]
