"""W' - W is what the trained layer does differently from the pretrained one, however a method keeps its numbers: the
claim of full-rank updates rests on it. Held against outputs on the identity matrix, and closed forms."""

import copy

import numpy as np
import pytest
import small_runs
import torch
from safetensors.torch import load_file

from frod import backbones
from frod.config import Method
from frod.runs import restore, spectrum

PEFT = [name for name, method in small_runs.METHODS.items() if method.kind == "peft"]
OTHERS = {
    "loha": Method(kind="peft", config="LoHaConfig"),
    "hra": Method(kind="peft", config="HRAConfig"),
    "fourier": Method(kind="peft", config="FourierFTConfig", arguments={"n_frequency": 50}),
}
EACH = pytest.mark.parametrize("architecture", ["bert", "timm", "gpt2"])
CASES = [("bert", name) for name in [*PEFT, *OTHERS]]
CASES += [("timm", name) for name in ("lora", "dora", "pissa", "vera", "oft", "ia3")]
CASES += [("gpt2", name) for name in ("lora", "pissa", "dora", "ia3")]


def trained(architecture, name, backbone, basis):
    adapter = (small_runs.METHODS | OTHERS)[name]
    model = restore.start(small_runs.run(adapter), backbone(architecture), small_runs.MANIFEST, basis)
    small_runs.train(model)
    return model


def differences(architecture, model, kind, backbone):
    """By layer, the row that the stage has of it."""
    before = spectrum.originals(backbones.skeleton(backbone(architecture)), None, backbone(architecture))
    found = {row["layer"]: row for row in spectrum.rows(model, kind, before)}
    assert list(found) == [name for layers in before.values() for name in layers]
    return found


def pretrained(architecture, backbone):
    """Weights of the target modules, read from the file: (m, n) in float64 by the module's name in the classifier."""
    stored = load_file(backbone(architecture) / "model.safetensors")
    prefix = {"bert": "bert.", "gpt2": "transformer.", "timm": ""}[architecture]
    weights = {f"{prefix}{key.removesuffix('.weight')}": value.double() for key, value in stored.items()}
    if architecture == "gpt2":  # Conv1D keeps the transpose
        weights = {name: value.T if value.ndim == 2 else value for name, value in weights.items()}
    return {name: value.numpy() for name, value in weights.items()}


def rows_of(name, weight):
    """The name of the module that holds a layer, and the rows of the module's weight that are the layer's."""
    outer, _, role = name.rpartition(".")
    if not outer.endswith(".qkv"):
        return name, slice(None)
    third = len(weight[outer]) // 3
    at = "qkv".index(role)
    return outer, slice(at * third, (at + 1) * third)


def on_the_identity(module):
    """The weight of a linear layer, read off its outputs in float64: no merge, and nothing of how it is kept."""
    layer = copy.deepcopy(module).double().eval()
    first = next(p for p in layer.parameters() if p.ndim == 2)
    n = getattr(layer, "in_features", None) or first.shape[0]
    eye = torch.eye(n, dtype=torch.float64)
    with torch.no_grad():
        return (layer(eye) - layer(torch.zeros_like(eye))).T.numpy()


def layers(architecture, model, kind, backbone):
    """Of each layer: its name, the stage's row, its module's name, its rows of the module's weight, that weight."""
    before = pretrained(architecture, backbone)
    for layer, row in differences(architecture, model, kind, backbone).items():
        module, rows = rows_of(layer, before)
        yield layer, row, module, rows, before[module][rows]


def check(row, change, atol):
    """Hold a row against the singular values of a matrix."""
    expected = np.linalg.svd(change, compute_uv=False)
    np.testing.assert_allclose(row["singular_values"], expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("architecture", "name"), CASES)
def test_of_peft_s_methods_it_is_the_difference_of_outputs_on_the_identity(architecture, name, backbone):
    model = trained(architecture, name, backbone, None)
    for _, row, module, rows, W in layers(architecture, model, "peft", backbone):
        change = on_the_identity(model.get_submodule(module))[rows] - W
        assert (row["out_features"], row["in_features"]) == W.shape
        assert row["weight_norm"] == pytest.approx(np.linalg.norm(W), rel=1e-12)
        assert np.linalg.norm(change) > 1e-4 * np.linalg.norm(W)
        check(row, change, 1e-12 * row["weight_norm"])


@EACH
def test_of_full_fine_tuning_it_is_the_difference_of_the_weights(architecture, backbone):
    model = trained(architecture, "full_ft", backbone, None)
    for _, row, module, rows, W in layers(architecture, model, "full_ft", backbone):
        after = model.get_submodule(module).weight.detach().double().numpy()
        check(row, (after.T if architecture == "gpt2" else after)[rows] - W, 1e-14 * row["weight_norm"])


@EACH
def test_of_frod_it_is_u_times_what_was_trained_times_v(architecture, backbone, basis):
    """U (diag(lambda - lambda_0) + S) V^T, with U = W V^-T diag(1 / lambda_0), written out in numpy."""
    model = trained(architecture, "frod", backbone, basis(architecture))
    for layer, row, _, _, W in layers(architecture, model, "frod", backbone):
        adapted = model.get_submodule(layer)
        category = basis(architecture).categories[row["category"]]
        V, start = category.V.double().numpy(), adapted.lambda_0.double().numpy()
        used = start > 0  # with fewer rows than columns in all layers together, some columns of U are zero
        U = np.linalg.solve(V, W.T).T * used / np.where(used, start, 1)
        middle = np.diag(adapted.scale.detach().double().numpy() - start)
        places = tuple(index.numpy() for index in adapted.pattern_places())
        assert np.ptp(np.stack(places), axis=0).min() > 0  # off the diagonal
        middle[places] = adapted.rotation.detach().double().numpy()
        change = U @ middle @ V.T
        check(row, change, 1e-5 * np.linalg.norm(change, 2))  # V's inverse is kept in float32, as the run had it


@EACH
def test_of_frod_it_is_what_the_layer_computes(architecture, backbone, basis):
    """To the digits of float32, in which the layer itself computes."""
    model = trained(architecture, "frod", backbone, basis(architecture)).eval()
    for layer, row, _, _, W in layers(architecture, model, "frod", backbone):
        adapted, eye = model.get_submodule(layer), torch.eye(W.shape[1])
        with torch.no_grad():
            after = (adapted(eye) - adapted(torch.zeros_like(eye))).T.double().numpy()
        check(row, after - W, 1e-5 * row["weight_norm"])


@pytest.mark.parametrize(("name", "most"), [("lora", 8), ("rslora", 8), ("pissa", 16)])
def test_a_low_rank_update_has_its_rank(name, most, backbone):
    """LoRA's rank r; PiSSA's 2 r, as it starts from r directions of the weight. Above what float32 can tell."""
    model = trained("bert", name, backbone, None)
    for row in differences("bert", model, "peft", backbone).values():
        values = np.array(row["singular_values"])
        assert (values > 1e-6 * row["weight_norm"]).sum() == most
        assert values[most - 1] > 1e-5 * row["weight_norm"]


@pytest.mark.parametrize("name", ["frod", "lora", "full_ft", "pissa"])
def test_a_model_as_it_starts_has_not_changed(backbone, basis, name):
    method = small_runs.METHODS[name]
    model = restore.start(small_runs.run(method), backbone("timm"), small_runs.MANIFEST, basis("timm"))
    rounding = 1e-6 if name == "pissa" else 0  # it splits the weight in two
    for row in differences("timm", model, method.kind, backbone).values():
        assert row["singular_values"][0] <= rounding * row["weight_norm"]


@pytest.mark.parametrize("name", ["frod", "dora"])
def test_the_model_is_left_as_it_was(backbone, basis, name):
    model = trained("bert", name, backbone, basis("bert")).eval()
    outputs, state = small_runs.logits(model), copy.deepcopy(model.state_dict())
    differences("bert", model, small_runs.METHODS[name].kind, backbone)
    assert torch.equal(small_runs.logits(model), outputs)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_a_row_fits_the_table(backbone):
    import pyarrow

    model = trained("timm", "lora", backbone, None)
    rows = [{"seed": 3} | row for row in differences("timm", model, "peft", backbone).values()]
    table = pyarrow.Table.from_pylist(rows, schema=spectrum.schema())
    assert table.num_rows == 2 * 6  # two blocks; of each q, k, v apart, the projection, and two of the feed-forward
    assert set(table["category"].to_pylist()) >= {"blocks.*.attn.qkv.q", "blocks.*.mlp.fc1"}
    lengths = [min(row["out_features"], row["in_features"]) for row in rows]
    assert [len(row["singular_values"]) for row in rows] == lengths
