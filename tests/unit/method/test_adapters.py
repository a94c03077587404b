"""Several adapters on one model, by name: each computes, trains and is saved as if it were alone on it."""

import pytest
import torch
import toy
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy import outputs

import frod

X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1))


def train(model):
    toy.train(model, X)
    return outputs(model, X)


@pytest.fixture
def two(make_model, make_adapted):
    """A model with the adapters "default" (trained, with a head) and "other" (fresh, other places), and its basis."""
    model, basis = make_adapted(sparse_rate=0.1)
    trained = train(model)
    frod.attach(model, basis, sparse_rate=0.2, seed=5, name="other", train=["head"])
    return model, basis, trained


def test_a_second_adapter_starts_from_the_frozen_model_and_its_head(make_model, two):
    model, _, trained = two
    frozen = outputs(make_model(), X)
    assert torch.equal(outputs(model, X), frozen)
    assert torch.equal(outputs(frod.set_adapter(model, "default"), X), trained)
    assert not torch.equal(trained, frozen)


def test_only_the_one_in_use_trains(two):
    model, _, trained = two
    names = [name for name, p in model.named_parameters() if p.requires_grad and "adapters" in name]
    assert {name.split(".")[4] for name in names} == {"other"}
    assert model.blocks[0].up.rotation.numel() == int(0.2 * 8 * 8)
    other = train(model)
    assert torch.equal(outputs(frod.set_adapter(model, "default"), X), trained)
    assert torch.equal(outputs(frod.set_adapter(model, "other"), X), other)


def test_it_trains_as_if_alone_and_loads_next_to_another(make_model, two, tmp_path):
    model, basis, trained = two
    other = train(model)
    assert torch.equal(other, train(frod.attach(make_model(), basis, sparse_rate=0.2, seed=5, train=["head"])))
    frod.save_adapter(model, tmp_path / "other.safetensors")
    frod.save_adapter(frod.set_adapter(model, "default"), tmp_path / "default.safetensors")
    fresh = frod.load_adapter(make_model(), tmp_path / "default.safetensors", basis, name="a")
    frod.load_adapter(fresh, tmp_path / "other.safetensors", basis, name="b")
    assert torch.equal(outputs(fresh, X), other)
    assert torch.equal(outputs(frod.set_adapter(fresh, "a"), X), trained)


def test_names_are_checked_and_merging_folds_in_the_one_in_use(two):
    model, basis, trained = two
    with pytest.raises(ValueError, match="name='third' is none of the model's adapters: default, other"):
        frod.set_adapter(model, "third")
    with pytest.raises(ValueError, match="name='other'; merge it"):
        frod.attach(model, basis, name="other")
    merged = frod.merge(frod.set_adapter(model, "default"))
    assert torch.equal(outputs(merged, X), trained)
    assert not [name for name in merged.state_dict() if "adapters" in name]


def test_through_the_wrapper_of_a_compiled_model(two, tmp_path):
    """Its names are others; the head must train and be saved all the same."""
    model, basis, trained = two
    compiled = torch.compile(model, backend="eager")
    assert frod.set_adapter(compiled, "default") is compiled
    assert {name for name, p in model.named_parameters() if p.requires_grad} >= {"head.weight", "head.bias"}
    assert torch.equal(outputs(compiled, X), trained)
    assert "head" in [g["name"] for g in frod.parameter_groups(compiled, lr_scale=1, lr_rotation=1, lr_head=1)]
    frod.save_adapter(compiled, tmp_path / "a.safetensors")
    frod.load_adapter(frod.set_adapter(compiled, "other"), tmp_path / "a.safetensors", basis, name="default")
    assert torch.equal(outputs(compiled, X), trained)
    frod.attach(compiled, basis, name="third", train=["head"])
    assert not torch.equal(outputs(compiled, X), trained)
    assert torch.equal(outputs(frod.merge(frod.set_adapter(compiled, "default")), X), trained)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["", "glue/cola.v1", "keys", 3])
def test_a_name_that_torch_cannot_keep_is_refused_and_nothing_is_touched(two, name):
    model, basis, _ = two
    before = outputs(frod.set_adapter(model, "default"), X)
    with pytest.raises(ValueError, match="cannot name an adapter"):
        frod.attach(model, basis, name=name, train=["head"])
    assert torch.equal(outputs(model, X), before)


def test_a_file_that_does_not_fit_leaves_the_model_as_it_was(two, tmp_path):
    model, basis, trained = two
    frod.save_adapter(model, tmp_path / "other")
    frod.set_adapter(model, "default")
    settings = safe_open(tmp_path / "other", "pt").metadata()
    broken = load_file(tmp_path / "other") | {"head.head.bias": torch.zeros(99)}
    save_file(broken, tmp_path / "broken", metadata=settings)
    for file, name, message in [
        ("other", "default", "sparse_rate"),
        ("broken", "third", "shape"),
        ("broken", "other", "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            frod.load_adapter(model, tmp_path / file, basis, name=name)
        assert torch.equal(outputs(model, X), trained)
    frod.load_adapter(model, tmp_path / "other", basis, name="third")


def test_a_folder_is_no_file_and_a_file_no_folder(two, tmp_path):
    model, _, _ = two
    with pytest.raises(ValueError, match="is a folder; name a file"):
        frod.save_adapter(model, tmp_path)
    frod.save_adapter(model, tmp_path / "file")
    with pytest.raises(ValueError, match="is a file; with_basis=True makes a folder"):
        frod.save_adapter(model, tmp_path / "file", with_basis=True)
