"""A frozen group, lambda or S, stays as it starts: it is not trained, counted, given to the optimiser or saved."""

import copy

import pytest
import torch
from safetensors import safe_open
from toy import PLANS, TARGETS, accumulated, assert_equal, disturb, gradients, outputs, train

import frod

X = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
GROUPS = ["scale", "rotation"]


def attached(make_model, *frozen, dtype=torch.float32, **settings):
    model = make_model(dtype)
    basis = frod.extract_basis(model, TARGETS, progress=False)
    return frod.attach(model, basis, **{"sparse_rate": 0.1, "train": ["head"], "freeze": frozen} | settings)


def layers(model):
    return [model.get_submodule(name) for name in model._frod.layers]


def test_training_leaves_a_frozen_lambda_where_it_started(make_model):
    model = attached(make_model, "scale")
    train(model, X)
    assert all(torch.equal(layer.scale, layer.lambda_0) and layer.rotation.any() for layer in layers(model))


def test_a_frozen_S_has_no_places_and_trains_as_a_sparse_rate_of_zero(make_model):
    frozen, zero = attached(make_model, "rotation"), attached(make_model, sparse_rate=0)
    assert torch.equal(train(frozen, X), train(zero, X))
    assert torch.equal(outputs(frozen, X), outputs(zero, X))
    assert all(layer.rotation.numel() == 0 for layer in layers(frozen))
    assert not any(torch.equal(layer.scale, layer.lambda_0) for layer in layers(frozen))


@pytest.mark.parametrize("plan", PLANS)
def test_the_other_group_s_gradient_is_what_it_is_without_the_freeze(make_model, plan):
    full = gradients(attached(make_model, plan=plan, dtype=torch.float64), X.double())
    found = gradients(attached(make_model, "scale", plan=plan, dtype=torch.float64), X.double())
    assert_equal(found, {name: gradient for name, gradient in full.items() if not name.endswith(".scale")})


@pytest.mark.parametrize("plan", PLANS)
def test_micro_batches_add_up(make_model, plan):
    model = attached(make_model, "scale", plan=plan, dtype=torch.float64)
    whole = gradients(model, X.double())
    parts = accumulated(model, *({"x": x} for x in X.double().split([2, 3])))
    assert_equal(parts, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("frozen", GROUPS)
def test_counts_and_optimiser_groups_are_of_what_trains(make_model, frozen):
    # Widths of the four kinds of layers are 8, 8, 24 and 8; of each there are three.
    per_layer = {"rotation": [8, 8, 24, 8], "scale": [int(0.1 * n * n) for n in (8, 8, 24, 8)]}[frozen]
    model = attached(make_model, frozen)
    trains = next(group for group in GROUPS if group != frozen)
    assert frod.count_parameters(model)["adapter"] == 3 * sum(per_layer)
    predicted = frod.predict_parameters(make_model(), TARGETS, sparse_rate=0.1, train=["head"], freeze=[frozen])
    assert predicted == frod.count_parameters(model)
    groups = frod.parameter_groups(model, **{f"lr_{trains}": 0.1}, lr_head=0.01)
    assert {group["name"]: group["lr"] for group in groups} == {trains: 0.1, "head": 0.01}
    in_them = {id(parameter) for group in groups for parameter in group["params"]}
    assert in_them == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    with pytest.raises(ValueError, match=f"lr_{trains}=None, but the adapter trains its {trains}; give their rate"):
        frod.parameter_groups(model, **{f"lr_{frozen}": 0.1}, lr_head=0.01)
    assert f"{frozen} frozen" in frod.summary(model)


@pytest.mark.parametrize("frozen", GROUPS)
def test_the_file_holds_what_trained_and_gives_the_model_back(make_model, tmp_path, frozen):
    model = disturb(attached(make_model, frozen))
    frod.save_adapter(model, tmp_path / "adapter", with_basis=True)
    with safe_open(tmp_path / "adapter" / "adapter.safetensors", "pt") as file:
        assert not any(name.endswith(f".{frozen}") for name in file.keys())  # noqa: SIM118
    fresh = frod.load_adapter(make_model(), tmp_path / "adapter")
    assert torch.equal(outputs(fresh, X), outputs(model, X))
    assert {n for n, p in fresh.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    for other in (attached(make_model), attached(make_model, next(group for group in GROUPS if group != frozen))):
        with pytest.raises(ValueError, match="freeze="):
            frod.load_adapter(other, tmp_path / "adapter")


def test_nothing_frozen_leaves_the_file_as_it_was(make_model, tmp_path):
    frod.save_adapter(attached(make_model), tmp_path / "adapter")
    with safe_open(tmp_path / "adapter", "pt") as file:
        assert "freeze" not in file.metadata()["frod"]


@pytest.mark.parametrize("frozen", GROUPS)
def test_a_state_dict_comes_back_and_of_another_freeze_is_refused(make_model, frozen):
    model = disturb(attached(make_model, frozen))
    fresh = attached(make_model, frozen)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(outputs(fresh, X), outputs(model, X))
    with pytest.raises(ValueError, match="freeze="):
        attached(make_model, "scale" if frozen == "rotation" else "rotation").load_state_dict(model.state_dict())


@pytest.mark.parametrize("frozen", GROUPS)
def test_it_goes_over_to_another_basis_of_the_same_weights(make_model, tmp_path, frozen):
    # Columns reordered and signed, as another machine's routine may return them.
    model = disturb(attached(make_model, frozen, dtype=torch.float64))
    frod.save_adapter(model, tmp_path / "adapter", with_basis=True)
    other = copy.copy(model._frod.basis)
    other.categories = {}
    for name, category in model._frod.basis.categories.items():
        order = torch.randperm(category.n, generator=torch.Generator().manual_seed(1))
        sign = torch.where(order % 2 == 0, 1.0, -1.0)
        other.categories[name] = copy.copy(category)
        other.categories[name].V = (category.V[:, order] * sign).contiguous()
        other.categories[name].V_inv_t = (category.V_inv_t[:, order] * sign).contiguous()
        other.categories[name].lambda_0 = {layer: values[order] for layer, values in category.lambda_0.items()}
    with pytest.warns(UserWarning, match="converted to this basis"):
        there = frod.load_adapter(make_model(torch.float64), tmp_path / "adapter", other)
    torch.testing.assert_close(outputs(there, X.double()), outputs(model, X.double()), rtol=1e-5, atol=1e-6)
    assert there._frod.adapters["default"].freeze == (frozen,)


def test_a_sum_freezes_what_all_its_parts_do(make_model):
    model = disturb(attached(make_model, "scale"))
    frod.attach(model, model._frod.basis, sparse_rate=0.1, seed=5, train=["head"], freeze=["scale"], name="second")
    disturb(model, seed=2)
    frod.combine(model, {"default": 0.5, "second": 0.5}, name="of two")
    assert model._frod.adapters["of two"].freeze == ("scale",)
    assert all(torch.equal(layer.scale, layer.lambda_0) for layer in layers(model))
    frod.attach(model, model._frod.basis, sparse_rate=0.1, train=["head"], freeze=["rotation"], name="third")
    frod.combine(model, {"default": 0.5, "third": 0.5}, name="of both")
    assert model._frod.adapters["of both"].freeze == ()
    frod.set_adapter(model, "third")
    assert not any(p.requires_grad for n, p in model.named_parameters() if n.endswith(".rotation"))


def test_impossible_freezes_are_refused(make_model):
    for settings, message in [
        ({"freeze": ["scale", "rotation"]}, "nothing of the adapter is left to train"),
        ({"freeze": ["scale"], "sparse_rate": 0}, "nothing of the adapter is left to train"),
        ({"freeze": "scale"}, "freeze='scale' must be a list of 'scale' or 'rotation'"),
        ({"freeze": ["lambda"]}, "must be a list of 'scale' or 'rotation'"),
        ({"freeze": ["rotation"], "patterns": {}}, "S that is frozen has no places; leave patterns out"),
    ]:
        with pytest.raises(ValueError, match=message):
            attached(make_model, **settings)
