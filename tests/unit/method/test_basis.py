"""The basis of a model: what it holds, that disk changes nothing, and that damage is noticed."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy import TARGETS, adapt

import frod
from frod.method.identity import weight_of


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def basis(model):
    return frod.extract_basis(model, TARGETS, progress=False)


def test_it_reproduces_every_weight(model, basis):
    assert set(basis.categories) == {f"blocks.*.{name}" for name in TARGETS}
    for category in basis.categories.values():
        assert category.V.dtype == category.V_inv_t.dtype == torch.float32
        V = category.V.double()
        assert torch.allclose(category.V_inv_t.double(), torch.linalg.inv(V).T, rtol=1e-5, atol=1e-5)
        for name, lambda_0 in category.lambda_0.items():
            W = weight_of(model.get_submodule(name))
            U = torch.linalg.solve(V, W.double().T).T / lambda_0
            assert ((U * lambda_0) @ V.T - W).norm() < 1e-10 * W.norm()
            assert torch.allclose(U.norm(dim=0), torch.ones(()).double(), atol=1e-6)
        assert category.facts["largest_reconstruction_error"] < 1e-10
        assert category.facts["rank"] == category.n
        assert 1 <= category.facts["condition_number"] < 1e4


def test_disk_gives_back_the_same_bits(basis, tmp_path):
    basis.save(tmp_path / "basis")
    loaded = frod.Basis.load(tmp_path / "basis")
    assert loaded.digest() == basis.digest()
    exact = {"rtol": 0, "atol": 0}
    for name, category in basis.categories.items():
        other = loaded.categories[name]
        torch.testing.assert_close([other.V, other.V_inv_t], [category.V, category.V_inv_t], **exact)
        torch.testing.assert_close(other.lambda_0, category.lambda_0, **exact)
        assert (other.layers, other.facts) == (category.layers, category.facts)
    assert (loaded.model_hash, loaded.targets) == (basis.model_hash, basis.targets)
    assert sorted(path.name for path in (tmp_path / "basis").iterdir()) == ["basis.safetensors", "manifest.json"]


def test_the_manifest_can_be_read_by_people(basis, tmp_path):
    basis.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest | {"model_hash": basis.model_hash, "targets": TARGETS, "ridge": 1e-3} == manifest
    entry = manifest["categories"]["blocks.*.up"]
    assert entry["n"] == 8
    assert entry["layers"]["blocks.1.up"] == [24, 8, "float32"]


def test_damage_is_noticed(basis, tmp_path):
    basis.save(tmp_path)
    tensors = load_file(tmp_path / "basis.safetensors")
    tensors["V/blocks.*.up"][0, 0] += 1
    save_file(tensors, tmp_path / "basis.safetensors")
    with pytest.raises(ValueError, match=r"is not the file .*: sha256 [0-9a-f]{64}, manifest [0-9a-f]{64}"):
        frod.Basis.load(tmp_path)
    with pytest.raises(ValueError, match=r"holds no manifest\.json"):
        frod.Basis.load(tmp_path / "nowhere")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"algorithm_version": 0}))
    with pytest.raises(ValueError, match="algorithm_version 0, this code has 2"):
        frod.Basis.load(tmp_path)


def test_the_hash_names_dtype_shape_name_and_bytes(make_model):
    model, names = make_model(), ["blocks.0.up", "blocks.1.up"]
    reference = frod.model_hash(model, names)
    assert frod.model_hash(make_model(), reversed(names)) == reference
    for other in (make_model(torch.bfloat16), make_model(seed=1)):
        assert frod.model_hash(other, names) != reference
    assert frod.model_hash(model, ["blocks.0.up", "blocks.2.up"]) != reference
    with torch.no_grad():
        model.head.weight.add_(1)
        assert frod.model_hash(model, names) == reference
        model.blocks[1].up.weight[0, 0] = 0
        assert frod.model_hash(model, names) != reference


def test_extraction_only_reads(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [parameter.requires_grad for parameter in model.parameters()]
    frod.extract_basis(model, TARGETS, progress=False)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == flags


def test_unused_inputs_get_a_lambda_of_zero_and_stay_exact(make_model):
    # Two input features that no layer reads: the released scripts leave such columns of U uninitialised.
    model = make_model()
    with torch.no_grad():
        for block in model.blocks:
            block.up.weight[:, :2] = 0
    basis = frod.extract_basis(model, ["up"], progress=False)
    category = basis.categories["blocks.*.up"]
    assert category.facts["rank"] == 6
    assert all((values == 0).sum() == 2 for values in category.lambda_0.values())
    assert category.facts["largest_reconstruction_error"] < 1e-6
    assert category.facts["condition_number"] < 1e3
    frod.attach(model, basis)
    assert torch.isfinite(model.blocks[0].up.formed_Ut()).all()


def infinite(model):
    model.blocks[0].up.weight.data[0, 0] = torch.inf
    return model


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda model: model.to("meta"), {}, "meta device"),
        (lambda model: adapt(model, TARGETS), {}, "before it was attached"),
        (lambda model: model, {"dtype": torch.bfloat16}, "too coarse"),
        (infinite, {}, "NaN or infinity"),
    ],
)
def test_what_cannot_be_decomposed_is_refused(model, change, settings, message):
    changed = change(model)
    with pytest.raises(ValueError, match=message):
        frod.extract_basis(changed, TARGETS, progress=False, **settings)
