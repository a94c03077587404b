"""Sharpness is the rise of the loss around W', whatever a method keeps of it: held against closed forms of linear
models, and against outputs on the identity matrix."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import small_runs
import torch
from torch import nn

from frod import backbones
from frod.runs import restore, sharpness, spectrum
from frod.tasks.arrays import Split

N = 24
CASES = [("bert", name) for name in ("full_ft", "linear_probe", "frod", "lora", "dora", "vera", "oft", "ia3", "pissa")]
CASES += [("timm", name) for name in ("full_ft", "frod", "lora")] + [("gpt2", "frod"), ("gpt2", "lora")]


class Linear(nn.Module):
    """Pixels in, W x + b out."""

    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(N, outputs)

    def forward(self, pixels):
        return self.layer(pixels.flatten(1))


def images(labels):
    """A split of images of N pixels, and these as the model sees them."""
    pixels = np.random.default_rng(1).integers(0, 256, (len(labels), 1, N, 1), dtype=np.uint8)
    inputs = {"mean": [0.5], "std": [0.25]}
    split = Split(
        name="validation", labels=labels, ids=np.arange(len(labels)), arrays={"images": pixels}, inputs=inputs
    )
    return split, (pixels.reshape(len(labels), N) / 255 - 0.5) / 0.25


def measured(outputs, labels, monkeypatch, directions=3):
    """The rows of a linear model, its weight, and the pixels."""
    monkeypatch.setattr(sharpness, "DIRECTIONS", directions)
    torch.manual_seed(0)
    model = Linear(outputs)
    split, x = images(labels)
    weight = model.layer.weight.detach().clone()
    stored = SimpleNamespace(target=model.layer, weight=weight)
    run = small_runs.run(small_runs.METHODS["full_ft"])
    return list(sharpness.rows(model, run, split, {"layer": {"layer": stored}})), weight.double().numpy(), x


def rises(rows):
    """Mean over both ways of each direction, less the loss in place."""
    place, *around = (row["loss"] for row in rows)
    return np.array(around).reshape(-1, 2).mean(axis=1) - place


def test_of_a_squared_loss_it_is_the_expected_square_of_what_is_added(monkeypatch):
    """E (delta x)² = 0.05² ‖w‖² E‖x‖² / n, over directions; the slope is gone, exactly."""
    labels = np.random.default_rng(2).normal(size=64).astype(np.float32)
    rows, weight, x = measured(1, labels, monkeypatch, directions=800)
    expected = 0.05**2 * (weight**2).sum() * (x**2).sum(axis=1).mean() / N
    deviation = np.sqrt(2 * np.trace((gram := x.T @ x / len(x)) @ gram)) / np.trace(gram)  # of one direction, at most
    assert rises(rows).mean() == pytest.approx(expected, rel=4 * deviation / np.sqrt(800))
    assert [row["step"] for row in rows] == [0.0, *[-0.05, 0.05] * 800]


def test_of_a_logistic_loss_it_is_half_the_curvature(monkeypatch):
    """Along d = (delta_1 - delta_0) x the loss has the second derivative E p (1 - p) d²."""
    labels = np.arange(64) % 2
    rows, weight, x = measured(2, labels, monkeypatch)
    torch.manual_seed(0)
    model = Linear(2)
    with torch.no_grad():
        logits = model(torch.from_numpy(x).float()).double().numpy()
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    for direction, rise in enumerate(rises(rows), start=1):
        seed = sharpness.stream(3, f"sharpness/{direction}/layer")
        delta = 0.05 * sharpness.perturbation(torch.from_numpy(weight).float(), seed).double().numpy()
        assert np.linalg.norm(delta) == pytest.approx(0.05 * np.linalg.norm(weight), rel=1e-6)
        curvature = (p * (1 - p) * ((delta[1] - delta[0]) @ x.T) ** 2).mean()
        assert rise == pytest.approx(curvature / 2, rel=0.01)


def test_a_loss_that_the_perturbation_cannot_reach_does_not_rise(monkeypatch):
    """Of pixels that are all zero to the model: the closed form is 0."""
    split, _ = images(np.arange(8) % 2)
    black = {"images": np.zeros_like(split.arrays["images"])}
    dark = Split(
        name="validation", labels=split.labels, ids=split.ids, arrays=black, inputs={"mean": [0.0], "std": [1.0]}
    )
    model = Linear(2)
    stored = SimpleNamespace(target=model.layer, weight=model.layer.weight.detach())
    run = small_runs.run(small_runs.METHODS["full_ft"])
    assert set(rises(list(sharpness.rows(model, run, dark, {"layer": {"layer": stored}})))) == {0.0}


@pytest.mark.parametrize(("architecture", "name"), CASES)
def test_what_is_perturbed_is_the_weight_that_a_layer_multiplies_by(architecture, name, backbone, basis):
    """Each module's weight, read off its outputs on the identity, moves by delta and by nothing else; and back."""
    method = small_runs.METHODS[name]
    model = restore.start(small_runs.run(method), backbone(architecture), small_runs.MANIFEST, basis(architecture))
    if name != "linear_probe":
        small_runs.train(model)
    model.eval()
    before = spectrum.originals(backbones.skeleton(backbone(architecture)), None, backbone(architecture))
    stored = {layer: of for layers in before.values() for layer, of in layers.items()}
    units = {layer: sharpness.perturbation(of.weight, seed) for seed, (layer, of) in enumerate(stored.items())}
    deltas = {layer: 0.5 * unit for layer, unit in units.items()}
    names = {layer: layer.rpartition(".")[0] if ".qkv." in layer else layer for layer in stored}
    modules = {layer: model.get_submodule(name) for layer, name in names.items()}
    outputs, state = small_runs.logits(model), copy.deepcopy(model.state_dict())
    plain = {layer: on_the_identity(modules[layer], of.weight.shape[1]) for layer, of in stored.items()}
    with sharpness.perturbed(model, stored, units, 0.5):
        moved = {layer: on_the_identity(modules[layer], of.weight.shape[1]) for layer, of in stored.items()}
        assert not torch.allclose(small_runs.logits(model), outputs, atol=1e-4)
    for layer, delta in deltas.items():
        change = moved[layer] - plain[layer]
        of_module = [d for other, d in deltas.items() if modules[other] is modules[layer]]  # a fused layer's three
        torch.testing.assert_close(change, torch.cat(of_module), rtol=0, atol=1e-5 * float(delta.norm()))
    assert torch.equal(small_runs.logits(model), outputs)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def on_the_identity(layer, n):
    """The weight (m, n) of a linear layer, read off its outputs."""
    eye = torch.eye(n)
    with torch.no_grad():
        return (layer(eye) - layer(torch.zeros_like(eye))).T


def test_methods_that_have_changed_nothing_yet_are_as_sharp_as_each_other(backbone, basis):
    """The same draws and examples for every method of a seed, and other draws for another seed."""
    rng = np.random.default_rng(3)
    tokens = {"tokens": rng.integers(1, 50, 6 * 300).astype(np.int32), "offsets": np.arange(301) * 6}
    split = Split(
        name="validation", labels=np.arange(300) % 3, ids=np.arange(300), arrays=tokens, inputs={"pad_token_id": 0}
    )
    before = spectrum.originals(backbones.skeleton(backbone("bert")), None, backbone("bert"))

    def losses(name, seed=3):
        run = small_runs.run(small_runs.METHODS[name], seed)
        model = restore.start(run, backbone("bert"), small_runs.MANIFEST, basis("bert"))
        with torch.no_grad():  # a head as it starts hardly sees what the layers say
            next(p for key, p in model.named_parameters() if key.endswith("classifier.weight")).mul_(100)
        rows = list(sharpness.rows(model, run, split, before))
        assert {row["examples"] for row in rows} == {256}
        return [row["loss"] for row in rows]

    first = losses("full_ft")
    assert len(set(first)) == 7
    for name in ("frod", "lora", "linear_probe"):
        np.testing.assert_allclose(losses(name), first, rtol=2e-5)
    assert set(losses("full_ft", seed=4)).isdisjoint(first)
