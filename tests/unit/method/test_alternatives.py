"""Bases to compare the shared one with: each layer's own singular vectors, and drawn ones."""

import copy

import pytest
import scipy.linalg
import torch
from toy import PLANS, TARGETS, adapt, assert_equal, disturb, gradients, outputs

import frod
from frod.method.alternatives import drawn

X = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
KINDS = ["layer_svd", "random"]


def attached(model, kind, **settings):
    basis = frod.extract_basis(model, TARGETS, kind=kind, progress=False)
    return frod.attach(model, basis, **{"sparse_rate": 0.1, "train": ["head"]} | settings)


def adapted_layers(model):
    return [model.get_submodule(name) for name in model._frod.layers]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("plan", PLANS)
def test_the_start_is_the_frozen_model_bit_for_bit(make_model, kind, dtype, plan):
    model = make_model(dtype)
    before = outputs(model, X.to(dtype))
    assert torch.equal(outputs(attached(model, kind, plan=plan), X.to(dtype)), before)


def test_a_layer_s_own_basis_is_its_singular_value_decomposition(make_model):
    for layer in adapted_layers(attached(make_model(torch.float64), "layer_svd")):
        W = (layer.frozen.T if layer.transposed else layer.frozen).detach().numpy()
        rank = min(W.shape)
        U, sigma, Zh = scipy.linalg.svd(W, full_matrices=False)
        torch.testing.assert_close(layer.lambda_0[:rank], torch.from_numpy(sigma), rtol=1e-6, atol=0)
        assert not layer.lambda_0[rank:].any()
        ours = layer.formed_Ut()[:rank].T
        torch.testing.assert_close(ours.T @ ours, torch.eye(rank).double(), rtol=0, atol=1e-5)
        assert (ours * torch.from_numpy(U)).sum(0).abs().min() > 1 - 1e-5
        assert (layer.shared.Vt[:rank].T * torch.from_numpy(Zh.T)).sum(0).abs().min() > 1 - 1e-5


def test_each_layer_has_places_of_its_own(make_model):
    model = attached(make_model(), "layer_svd")
    places = [tuple(layer.pattern_places()[0].tolist()) for layer in adapted_layers(model) if layer.in_features == 8]
    assert len(set(places)) == len(places) == 9


def test_a_drawn_basis_is_orthogonal_and_knows_the_name_and_the_width_alone(make_model):
    basis = frod.extract_basis(make_model(), TARGETS, kind="random", progress=False)
    other = frod.extract_basis(make_model(seed=1), TARGETS, kind="random", progress=False)
    for name, category in basis.categories.items():
        assert torch.allclose(category.V.T @ category.V, torch.eye(category.n), atol=1e-5)
        assert torch.equal(category.V, other.categories[name].V)
    square = [category.V for category in basis.categories.values() if category.n == 8]
    assert not any(torch.equal(a, b) for i, a in enumerate(square) for b in square[:i])
    shared = frod.extract_basis(make_model(), TARGETS, progress=False)
    assert basis.categories.keys() == shared.categories.keys()  # and so S has the same places on both


def test_a_drawn_matrix_prefers_no_direction_and_no_sign():
    # Of orthogonal matrices, uniformly distributed, the mean is 0 and that of the squares 1/n.
    V = torch.stack([drawn(f"category {i}", torch.empty(1, 4)).V for i in range(2000)])
    assert V.mean(0).abs().max() < 5 * (1 / 4 / 2000) ** 0.5
    assert (V.square().mean(0) - 1 / 4).abs().max() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_all_plans_agree_in_outputs_and_gradients(make_model, kind):
    found = []
    for plan in PLANS:
        model = disturb(attached(make_model(torch.float64), kind, plan=plan), 0.05)
        found.append((gradients(model, X.double()), outputs(model, X.double())))
    for ours, y in found[1:]:
        torch.testing.assert_close(y, found[0][1], rtol=1e-5, atol=1e-7)
        for name, gradient in found[0][0].items():
            torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_loaded_merged_and_put_together_from_parts(make_model, tmp_path, kind):
    model = disturb(attached(make_model(), kind))
    expected = outputs(model, X)
    frod.save_adapter(model, tmp_path / "adapter", with_basis=True)
    fresh = frod.load_adapter(make_model(), tmp_path / "adapter")
    assert torch.equal(outputs(fresh, X), expected)
    assert (fresh._frod.basis.kind, fresh._frod.basis.ridge) == (kind, None)
    assert torch.equal(outputs(frod.merge(fresh), X), expected)
    parts = [frod.extract_basis(make_model(), TARGETS, kind=kind, part=(i, 3), progress=False) for i in range(3)]
    assert frod.Basis.join(parts).digest() == model._frod.basis.digest()


def test_bases_of_other_kinds_do_not_pass_for_one_another(make_model, tmp_path):
    model = make_model()
    digests = [frod.extract_basis(model, TARGETS, kind=kind, progress=False).digest() for kind in ["shared", *KINDS]]
    assert len(set(digests)) == 3
    frod.save_adapter(attached(copy.deepcopy(model), "layer_svd"), tmp_path / "adapter")
    with pytest.raises(ValueError, match="was trained with the basis"):
        frod.load_adapter(model, tmp_path / "adapter", frod.extract_basis(model, TARGETS, progress=False))


def test_the_summary_names_the_basis(make_model):
    assert "12 layers, each on its own singular vectors" in frod.summary(attached(make_model(), "layer_svd"))
    assert "basis random" in frod.summary(attached(make_model(), "random"))
    assert "basis" not in frod.summary(adapt(make_model(), TARGETS))


def test_impossible_bases_are_refused(make_model):
    with pytest.raises(ValueError, match=r"ridge=0\.1 is of kind='shared', and kind='layer_svd' does without"):
        frod.extract_basis(make_model(), TARGETS, kind="layer_svd", ridge=0.1)
    with pytest.raises(ValueError, match="kind='svd' is none of shared, layer_svd, random"):
        frod.extract_basis(make_model(), TARGETS, kind="svd")


def test_peft_gets_no_basis_that_it_cannot_compute(make_model, tmp_path):
    with pytest.raises(ValueError, match="basis is of kind 'random', and peft computes a shared one: merge"):
        frod.to_peft(attached(make_model(), "random"), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_is_that_of_autograd_over_the_formula(make_model, kind):
    # W' = W + U (diag(lambda - lambda_0) + S) V^T, written out densely.
    model = attached(make_model(torch.float64), kind)
    ours = gradients(model, X.double())
    named = {name: layer for name, layer in zip(model._frod.layers, adapted_layers(model), strict=True)}
    expected, replaced = {}, {}
    for name, layer in named.items():
        U, Vt = layer.formed_Ut().T, layer.shared.Vt
        W = layer.frozen.T if layer.transposed else layer.frozen
        scale, rotation = (t.detach().clone().requires_grad_() for t in (layer.scale, layer.rotation))
        S = torch.zeros(len(scale), len(scale), dtype=torch.float64).index_put(layer.pattern_places(), rotation)
        formed = W + U @ (torch.diag(scale - layer.lambda_0) + S) @ Vt
        replaced[f"{name}.weight"] = formed.T if layer.transposed else formed
        expected |= {f"{name}.adapters.default.scale": scale, f"{name}.adapters.default.rotation": rotation}
    torch.func.functional_call(make_model(torch.float64), replaced, (X.double(),)).square().sum().backward()
    assert_equal(
        {name: ours[name] for name in expected}, {name: t.grad for name, t in expected.items()}, rtol=1e-5, atol=1e-7
    )
