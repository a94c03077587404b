"""The sum of adapters is the sum of their changes of W, up to rounding: any weights, patterns, blocks and heads."""

import pytest
import torch
from toy import TARGETS, disturb, outputs

import frod
from frod.method.linear import all_layers

X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1))
SECOND = {
    "the same places": {"sparse_rate": 0.1},
    "other places": {"sparse_rate": 0.2, "seed": 5},
    "fewer blocks": {"sparse_rate": 0.1, "layers": [1]},
    "no head": {"sparse_rate": 0.1, "seed": 5, "train": []},
}


@pytest.fixture
def two(make_adapted):
    """A float64 model with the adapters "default" and "second", both away from their start."""

    def make(**second):
        model, basis = make_adapted(torch.float64, by=0.1)
        frod.attach(model, basis, **{"train": ["head"]} | second, name="second")
        return disturb(model, seed=3)

    return make


def changes(model, name):
    """W' - W of all layers, and the head, with an adapter in use."""
    frod.set_adapter(model, name)
    changed = [
        layer.frozen - layer.frozen if layer.active is None else layer.form_weight() - layer.frozen
        for layer in all_layers(model)
    ]
    return [*changed, model.head.weight.detach().clone(), model.head.bias.detach().clone()]


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.3, 0.7), (1.0, 0.0), (2.0, -1.0)])
@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
def test_the_weighted_sum_of_weights(two, second, weights):
    model = two(**second)
    expected = [weights[0] * a + weights[1] * b for a, b in zip(changes(model, "default"), changes(model, "second"))]
    assert frod.combine(model, {"default": weights[0], "second": weights[1]}, name="sum") is model
    assert model._frod.active == "sum"
    found = changes(model, "sum")
    assert all(change.any() for change in found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_of_equal_places_it_is_no_larger_and_of_others_it_has_both(two):
    model = frod.combine(two(sparse_rate=0.1), {"default": 0.5, "second": 0.5}, name="sum")
    assert model._frod.adapters["sum"].seed == model._frod.adapters["default"].seed == 0
    model = two(sparse_rate=0.2, seed=5)
    places = {}
    for name in ("default", "second"):
        frod.set_adapter(model, name)
        places[name] = set(zip(*(t.tolist() for t in model.blocks[0].up.pattern_places())))
    frod.combine(model, {"default": 0.5, "second": 0.5}, name="sum")
    found = set(zip(*(t.tolist() for t in model.blocks[0].up.pattern_places())))
    assert found == places["default"] | places["second"] and not places["default"] >= places["second"]


def test_a_sum_that_does_not_average_adds_changes_of_the_head_too(two):
    model = two()
    with frod.disabled(model):
        start = model.head.weight.clone()
    heads = [changes(model, name)[-2] for name in ("default", "second")]
    frod.combine(model, {"default": 1.0, "second": 1.0}, name="sum")
    torch.testing.assert_close(model.head.weight, start + sum(head - start for head in heads), rtol=0, atol=1e-12)


def test_it_is_saved_and_loaded_as_any_other(two, make_model, tmp_path):
    model = frod.combine(two(sparse_rate=0.2, seed=5), {"default": 0.5, "second": 0.5}, name="sum")
    frod.save_adapter(model, tmp_path, with_basis=True)
    again = frod.load_adapter(make_model(torch.float64), tmp_path)
    assert torch.equal(outputs(again, X.double()), outputs(model, X.double()))


def test_on_some_blocks_of_a_model_of_which_each_layer_is_a_category(make_model, tmp_path):
    """The file has the places of the adapted categories only."""
    basis = frod.extract_basis(make_model(), TARGETS, kind="layer_svd", progress=False)
    model = make_model()
    for seed, name in enumerate(("default", "second")):
        frod.attach(model, basis, sparse_rate=0.1, seed=seed, layers=[0], train=["head"], name=name)
        disturb(model, seed=seed)
    frod.combine(model, {"default": 0.5, "second": 0.5}, name="sum")
    frod.save_adapter(model, tmp_path, with_basis=True)
    again = frod.load_adapter(make_model(), tmp_path)
    assert torch.equal(outputs(again, X), outputs(model, X))


@pytest.mark.parametrize(
    ("weights", "name", "message"),
    [
        ({"default": 1, "third": 1}, "sum", r"'third': 1} must name adapters of the model: default, second\."),
        ({}, "sum", "must name adapters of the model"),
        (["default"], "sum", r"weights=\['default'\] must give each adapter a weight, such as weights={'first': 0\.5"),
        ({"default": float("nan")}, "sum", "must be finite"),
        ({"default": 0.5, "second": 0.5}, "second", "name='second'; merge it"),
    ],
)
def test_what_cannot_be_summed_is_refused_and_nothing_changes(two, weights, name, message):
    model = two()
    before = outputs(model, X.double())
    with pytest.raises(ValueError, match=message):
        frod.combine(model, weights, name=name)
    assert list(model._frod.adapters) == ["default", "second"]
    assert torch.equal(outputs(model, X.double()), before)


def test_trained_statistics_are_refused(two):
    model = two()
    model.norm.register_buffer("seen", torch.zeros(1))
    model._frod.buffers["norm.seen"] = torch.zeros(1)
    model.norm.seen.add_(1)
    with pytest.raises(ValueError, match=r"'second' has trained buffers, \['norm.seen'\]"):
        frod.combine(model, {"default": 0.5, "second": 0.5}, name="sum")
