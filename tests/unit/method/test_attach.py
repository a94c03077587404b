"""Attaching, grouping for the optimiser, merging, saving and loading, and everything these refuse."""

import copy
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from toy import TARGETS, adapt, outputs

import frod


@pytest.fixture
def x():
    return torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1))


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_only_the_adapter_and_the_head_train(make_adapted):
    model, _ = make_adapted()
    parts = [f"adapters.default.{part}" for part in ("scale", "rotation")]
    expected = {f"blocks.{i}.{layer}.{part}" for i in range(3) for layer in TARGETS for part in parts}
    assert trained(model) == expected | {"head.weight", "head.bias"}


def test_lambda_starts_where_the_basis_says_and_layers_share_V_and_pattern(make_adapted):
    model, basis = make_adapted()
    for i in range(3):
        layer = model.blocks[i].down
        assert torch.equal(layer.scale, basis.categories["blocks.*.down"].lambda_0[f"blocks.{i}.down"])
        assert layer.shared is model.blocks[0].down.shared
        assert layer.rotation.numel() == int(0.1 * 24 * 24)
    assert torch.equal(layer.shared.Vt.T, basis.categories["blocks.*.down"].V)


def test_a_basis_of_the_bare_body_fits_it_inside_a_classifier(make_model):
    # One basis serves all tasks: the names of the same layers differ by what wraps them.
    basis = frod.extract_basis(make_model(), TARGETS, progress=False)
    classifier = nn.ModuleDict({"body": make_model(), "head": nn.Linear(2, 5)})
    frod.attach(classifier, basis, train=["head"])
    assert frod.model_hash(classifier) == basis.model_hash


def test_groups(make_adapted):
    model, _ = make_adapted()
    groups = frod.parameter_groups(model, lr_scale=1.0, lr_rotation=2.0, lr_head=3.0, weight_decay=0.5)
    found = [(g["name"], g["lr"], g["weight_decay"]) for g in groups]
    assert found == [("scale", 1.0, 0.0), ("rotation", 2.0, 0.5), ("head", 3.0, 0.5)]
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    with pytest.raises(ValueError, match="lr_head=None, but"):
        frod.parameter_groups(model, lr_scale=1.0, lr_rotation=2.0)
    bare, _ = make_adapted(train=())
    assert [g["name"] for g in frod.parameter_groups(bare, lr_scale=1.0, lr_rotation=2.0)] == ["scale", "rotation"]


def test_decay_of_lambda_is_decay_of_lambda_itself(make_adapted):
    # The released scripts' AdamW pulls lambda, and with it the pretrained weight, to zero; that can be repeated.
    model, _ = make_adapted()
    groups = frod.parameter_groups(model, lr_scale=0.1, lr_rotation=0.1, lr_head=0.1, scale_weight_decay=0.5)
    layer = model.blocks[0].up
    before = layer.scale.detach().clone()
    layer.scale.grad = torch.zeros_like(layer.scale)
    torch.optim.AdamW(groups).step()
    assert torch.allclose(layer.scale, before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_merging_keeps_the_outputs_and_puts_plain_layers_back(make_model, make_adapted, dtype, x):
    model, _ = make_adapted(dtype, by=0.05)
    expected = outputs(model, x.to(dtype))
    assert not torch.equal(expected, outputs(make_model(dtype), x.to(dtype)))
    assert frod.merge(model) is model
    assert torch.equal(outputs(model, x.to(dtype)), expected)
    plain = make_model(dtype)
    assert [(name, type(m)) for name, m in model.named_modules()] == [
        (name, type(m)) for name, m in plain.named_modules()
    ]
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="no FRoD adapter"):
        frod.merge(model)


def test_merging_restores_what_required_a_gradient(make_model):
    model = make_model()
    model.norm.requires_grad_(False)
    before = trained(model)
    frod.merge(adapt(model, TARGETS))
    assert trained(model) == before


def test_a_saved_adapter_loads_to_identical_outputs(make_model, make_adapted, tmp_path, x):
    model, basis = make_adapted(by=0.1)
    path = tmp_path / "new" / "adapter.safetensors"
    frod.save_adapter(model, path)
    basis.save(tmp_path / "basis")
    fresh = make_model()
    with torch.no_grad():
        fresh.head.weight.zero_()  # the file brings the head
    frod.load_adapter(fresh, path, frod.Basis.load(tmp_path / "basis"))
    assert torch.equal(outputs(fresh, x), outputs(model, x))
    assert trained(fresh) == trained(model)
    assert [p.name for p in path.parent.iterdir()] == ["adapter.safetensors"]
    again, _ = make_adapted()
    frod.load_adapter(again, path, basis)  # onto one that is attached already
    assert torch.equal(outputs(again, x), outputs(model, x))


def test_the_file_holds_what_was_trained_and_nothing_else(make_adapted, tmp_path):
    model, basis = make_adapted()
    frod.save_adapter(model, tmp_path / "a.safetensors")
    stored = load_file(tmp_path / "a.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == frod.count_parameters(model)["trainable"]
    settings = json.loads(safe_open(tmp_path / "a.safetensors", "pt").metadata()["frod"])
    assert settings["basis_digest"] == basis.digest()
    assert settings["model_hash"] == basis.model_hash
    assert (settings["sparse_rate"], settings["seed"], settings["train"]) == (0.1, 0, ["head"])


def test_attaching_to_other_weights_shows_both_hashes(make_model):
    basis = frod.extract_basis(make_model(), TARGETS, progress=False)
    other = make_model(seed=1)
    names = [f"blocks.{i}.{layer}" for i in range(3) for layer in TARGETS]
    with pytest.raises(ValueError, match=rf"{frod.model_hash(other, names)}, those of the basis {basis.model_hash}"):
        frod.attach(other, basis)
    assert all(parameter.requires_grad for parameter in other.parameters())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"dtype": torch.bfloat16}, r"\(8, 8, 'bfloat16'\) in the model, \(8, 8, 'float32'\) in the basis"),
        ({"n": 10}, r"\(10, 10, 'float32'\) in the model, \(8, 8, 'float32'\) in the basis"),
        ({"layers": 4}, r"only in the model \['blocks\.3\.attention'"),
    ],
)
def test_attaching_to_another_architecture_names_the_difference(make_model, other, message):
    basis = frod.extract_basis(make_model(), TARGETS, progress=False)
    with pytest.raises(ValueError, match=message):
        frod.attach(make_model(**other), basis)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plan": "fast"}, "plan='fast' is none of auto, materialised, factored, input_side"),
        ({"sparse_rate": 1.0}, "asks for 64 entries"),
        ({"train": "head"}, r"must be a list of module names: train=\['head'\]"),
        ({"train": ["hed"]}, "'hed', which is no module of Toy"),
        ({"train": ["blocks.0"]}, "holds the target layer 'blocks.0.attention'"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_changes(make_model, arguments, message):
    model = make_model()
    before = [type(module) for module in model.modules()]
    with pytest.raises(ValueError, match=message):
        adapt(model, TARGETS, **arguments)
    assert [type(module) for module in model.modules()] == before
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_second_adapter_of_the_same_name_is_refused(make_adapted):
    model, basis = make_adapted()
    with pytest.raises(ValueError, match="has a FRoD adapter already"):
        frod.attach(model, basis)


def test_loading_refuses_what_does_not_fit(make_model, make_adapted, tmp_path):
    model, basis = make_adapted(by=0.1)
    path = tmp_path / "a.safetensors"
    frod.save_adapter(model, path)
    other_basis = frod.extract_basis(make_model(seed=1), TARGETS, progress=False)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign")
    for other, file, on, message in [
        (make_model(), path, other_basis, f"with the basis {basis.digest()}.* basis is {other_basis.digest()}"),
        (make_model(seed=1), path, basis, "those of the basis"),
        (make_adapted(sparse_rate=0.2)[0], path, basis, r"sparse_rate=0\.1, the adapter on the model sparse_rate=0\.2"),
        (make_adapted(train=())[0], path, basis, r"train=\['head'\], the adapter on the model train=\[\]"),
        (make_model(), path, "bases/x", r"basis is 'bases/x'; .*frod\.Basis\.load\(folder\) gives one"),
        (make_model(), tmp_path / "missing", basis, "cannot be read as an adapter"),
        (make_model(), tmp_path / "foreign", basis, "has the format None, not 'frod adapter 1'"),
    ]:
        with pytest.raises(ValueError, match=message):
            frod.load_adapter(other, file, on)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("head.head.bias"), r"only in the model \['head.head.bias'\]"),
        (lambda t: t.update({"head.head.bias": torch.zeros(3)}), r"shape \(3,\) and torch.float32 in the file, \(2,\)"),
        (lambda t: t.update({"head.head.bias": torch.zeros(2).half()}), "torch.float16 in the file"),
    ],
)
def test_a_file_of_another_shape_leaves_the_values_alone(make_adapted, tmp_path, change, message, x):
    model, basis = make_adapted(by=0.1)
    path = tmp_path / "a.safetensors"
    frod.save_adapter(model, path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=safe_open(path, "pt").metadata())
    target, _ = make_adapted()
    before = outputs(copy.deepcopy(target), x)
    for model in (target, frod.merge(copy.deepcopy(target))):
        names = list(model.state_dict())
        with pytest.raises(ValueError, match=message):
            frod.load_adapter(model, path, basis)
        assert torch.equal(outputs(model, x), before)
        assert list(model.state_dict()) == names


def test_the_package_is_light_and_complete():
    for name in frod.__all__:
        assert callable(getattr(frod, name))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = frod.nonsense
